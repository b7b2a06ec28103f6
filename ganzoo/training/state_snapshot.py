"""What a training step changes, copied: to go back to, and to compare with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo.training.state import TrainingState


class Snapshot:
    """A copy of what a step changes, but for its number and the moving average: weights, optimizers, random states."""

    def __init__(self, state: TrainingState):
        self.tensors = {name: tensor.detach().clone() for name, tensor in _tensors(state).items()}
        self.scalers = [scaler.state_dict() for scaler in scalers(state)]
        self.rng = state.rng.get_state()
        self.torch_rng = torch.get_rng_state()
        self.cuda_rng = torch.cuda.get_rng_state(state.device) if state.device.type == "cuda" else torch.empty(0)

    @torch.no_grad()
    def put_back(self, state: TrainingState, as_new: bool = False) -> None:
        """Make `state` what it was, in the same memory, which a graph knows.

        What an optimizer has made since becomes zeros, as it was when made, or with `as_new` is removed.
        """
        for name, tensor in _tensors(state).items():
            if name in self.tensors:
                tensor.copy_(self.tensors[name])
            else:
                tensor.zero_()
        if as_new and not any(name.startswith("optimizer") for name in self.tensors):
            for optimizer in optimizers(state):
                optimizer.state.clear()
        for scaler, saved in zip(scalers(state), self.scalers):
            scaler.load_state_dict(saved)
        state.rng.set_state(self.rng)
        torch.set_rng_state(self.torch_rng)
        if state.device.type == "cuda":
            torch.cuda.set_rng_state(self.cuda_rng, state.device)

    def equals(self, other: Snapshot) -> bool:
        return (
            same(self.tensors, other.tensors)
            and self.scalers == other.scalers
            and torch.equal(self.rng, other.rng)
            and torch.equal(self.torch_rng, other.torch_rng)
            and torch.equal(self.cuda_rng, other.cuda_rng)
        )


def _tensors(state: TrainingState) -> dict[str, Tensor]:
    found = {f"gan.{name}": tensor for name, tensor in state.gan.state_dict().items()}
    found["sound"] = state.sound
    for n, optimizer in enumerate(optimizers(state)):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for i, parameter in enumerate(parameters):
            values: dict[str, Any] = optimizer.state.get(parameter, {})
            found |= {f"optimizer.{n}.{i}.{k}": v for k, v in values.items() if isinstance(v, Tensor)}
    return found


def optimizers(state: TrainingState) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """The generator's and the discriminator's."""
    return state.generator_optimizer, state.discriminator_optimizer


def scalers(state: TrainingState) -> tuple[torch.amp.GradScaler, torch.amp.GradScaler]:
    return state.generator_scaler, state.discriminator_scaler


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether both hold the same names and, bit for bit, the same numbers."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
