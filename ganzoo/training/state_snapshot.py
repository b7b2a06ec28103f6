"""Copies of what a training step changes, to restore or to compare."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from ganzoo.training.state import TrainingState


class Snapshot:
    """A copy of what a step changes besides its number and the moving averages."""

    def __init__(self, state: TrainingState):
        self.tensors = {name: tensor.detach().clone() for name, tensor in _tensors(state).items()}
        self.counters = _counters(state)
        self.scalers = {name: scaler.state_dict() for name, scaler in state.scalers.items()}
        self.plain = copy.deepcopy(state.gan.state())
        self.rng = state.rng.get_state()
        self.torch_rng = torch.get_rng_state()
        self.cuda_rng = torch.cuda.get_rng_state(state.device) if state.device.type == "cuda" else torch.empty(0)

    @torch.no_grad()
    def restore(self, state: TrainingState, fresh: bool = False) -> None:
        """Restore `state` in place, in the memory that a CUDA graph refers to.

        Optimizer state created since the snapshot is zeroed, or with `fresh` removed.
        """
        for name, tensor in _tensors(state).items():
            if name in self.tensors:
                tensor.copy_(self.tensors[name])
            else:
                tensor.zero_()
        if fresh and not any(name.startswith("optimizer") for name in self.tensors):
            for player in state.players.values():
                player.optimizer.state.clear()
        for parameter, counters in self.counters.items():
            for player in state.players.values():
                if parameter in player.optimizer.state:
                    player.optimizer.state[parameter].update(counters)
        for name, scaler in state.scalers.items():
            scaler.load_state_dict(self.scalers[name])
        if self.plain:
            state.gan.load_state(copy.deepcopy(self.plain))
        state.rng.set_state(self.rng)
        torch.set_rng_state(self.torch_rng)
        if state.device.type == "cuda":
            torch.cuda.set_rng_state(self.cuda_rng, state.device)

    def equals(self, other: Snapshot) -> bool:
        return (
            same(self.tensors, other.tensors)
            and self.counters == other.counters
            and self.scalers == other.scalers
            and same_values(self.plain, other.plain)
            and torch.equal(self.rng, other.rng)
            and torch.equal(self.torch_rng, other.torch_rng)
            and torch.equal(self.cuda_rng, other.cuda_rng)
        )

    def differences(self, other: Snapshot) -> list[str]:
        """What differs from `other` in any bit: the names of tensors, or else what holds the other values."""
        names = dict.fromkeys((*self.tensors, *other.tensors))
        different = [
            name
            for name in names
            if name not in self.tensors or name not in other.tensors
            or not torch.equal(_bits(self.tensors[name]), _bits(other.tensors[name]))
        ]  # fmt: skip
        return different or ([] if self.equals(other) else ["a random state or a counter"])


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _counters(state: TrainingState) -> dict[Tensor, dict[str, Any]]:
    """What the optimizers keep by parameter in other values than tensors."""
    return {
        parameter: counters
        for player in state.players.values()
        for parameter, values in player.optimizer.state.items()
        if (counters := {name: copy.copy(value) for name, value in values.items() if not isinstance(value, Tensor)})
    }


def _tensors(state: TrainingState) -> dict[str, Tensor]:
    tensors = {f"gan.{name}": tensor for name, tensor in state.gan.state_dict().items()}
    tensors["all_finite"] = state.all_finite
    for name, player in state.players.items():
        optimizer = player.optimizer
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for i, parameter in enumerate(parameters):
            values: dict[str, Any] = optimizer.state.get(parameter, {})
            tensors |= {f"optimizer.{name}.{i}.{k}": v for k, v in values.items() if isinstance(v, Tensor)}
    return tensors


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether both have the same names and bitwise equal tensors."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def same_values(one: Any, other: Any) -> bool:
    """Whether two nested structures hold equal values and bitwise equal tensors."""
    (ours, shape), (theirs, other_shape) = tree_flatten(one), tree_flatten(other)
    return shape == other_shape and all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b for a, b in zip(ours, theirs)
    )
