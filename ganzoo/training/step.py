"""One training step as the GAN sees it: the implementation of `ganzoo.gan.StepContext`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import PluginError
from ganzoo.gan import Condition, Logs, MicroBatch, map_condition
from ganzoo.gan.condition import split_condition
from ganzoo.training.state import TrainingState

GetBatch = Callable[[int], tuple[Tensor, Condition]]
"""The real examples and what is given with them, this rank's share, for discriminator step k of a training step."""


class TrainingStep:
    """The current step of `state`, on the examples of `get_batch`."""

    def __init__(self, state: TrainingState, get_batch: GetBatch):
        self.state = state
        self.logs: Logs = {}
        self._get_batch = get_batch
        self._updating: tuple[str, ...] = ()
        self._micro: MicroBatch | None = None
        self._kept: dict[MicroBatch, Tensor] = {}

    @property
    def step(self) -> int:
        self.state.step_was_read = True
        return self.state.step

    @property
    def images_seen(self) -> int:
        self.state.step_was_read = True
        return self.state.images_seen

    @property
    def rng(self) -> torch.Generator:
        return self.state.rng

    @property
    def micro(self) -> MicroBatch:
        if self._micro is None:
            raise PluginError("step.micro is the microbatch of the last step.generate(micro), and there was none.")
        return self._micro

    def batches(self, k: int = 0) -> list[MicroBatch]:
        count = self.state.gan.config.discriminator_steps
        if not 0 <= k < count:
            raise PluginError(f"step.batches({k}): a step has batches 0..{count - 1}, one per discriminator_steps.")
        return split_batch(self.state, *self._get_batch(k))

    def generate(self, micro: MicroBatch, keep_graph: bool = False) -> Tensor:
        self._micro = micro
        kept, trains = self._kept.pop(micro, None), "generator" in self._updating
        if trains and kept is not None:
            return kept
        with self.state.autocast(), torch.set_grad_enabled(trains or keep_graph):
            fake = self.state.gan.generate(micro.z, micro.condition)
        if keep_graph and not trains:
            self._kept[micro] = fake
        elif not trains and self.state.dtype is not None:
            torch.clear_autocast_cache()  # it now holds weights without a graph
        return fake

    @contextlib.contextmanager
    def update(self, *players: str) -> Iterator[GradientUpdate]:
        unknown = [name for name in players if name not in self.state.players]
        if unknown or not players or self._updating:
            wrong = f"{unknown[0]!r} is unknown" if unknown else "updates cannot be nested" if players else "none given"
            raise PluginError(f"step.update{players}: {wrong}. The players are {', '.join(self.state.players)}.")
        self._updating = players
        try:
            update = GradientUpdate(self.state, players)
            with self.state.select_players(*players), update.autocast:
                yield update
        finally:
            self._updating = ()
        self.logs |= update.logs() | self.state.update(*players)
        if "generator" in players:
            self._kept.clear()
        for name in players:
            self.state.gan.after_step(name)

    def mean_over_ranks(self, value: Tensor) -> Tensor:
        ranks = distributed.size()
        return value if ranks == 1 else distributed.all_reduce_sum(value) / ranks


class GradientUpdate:
    """Collects the gradients and logs of one update. `autocast` is a stack whose context is left to go backward."""

    def __init__(self, state: TrainingState, players: tuple[str, ...]):
        self.autocast = contextlib.ExitStack()
        self.autocast.enter_context(state.autocast())
        self._state = state
        self._players = players
        self._scaler = state.scalers[players[0]]
        self._losses: list[Tensor] = []
        self._logs: dict[str, list[Tensor]] = {}

    def backward(self, loss: Tensor, logs: Logs | None = None) -> None:
        self.autocast.close()
        parts = self._state.gan.config.accumulate
        if loss.requires_grad:  # a constant term has no gradient
            torch.autograd.backward(self._scaler.scale(loss if parts == 1 else loss / parts))
        self._losses.append(loss.detach())
        for name, value in (logs or {}).items():
            self._logs.setdefault(name, []).append(value)
        self.autocast.enter_context(self._state.autocast())

    def set_gradients(self, player: str, gradients: Sequence[Tensor | None]) -> None:
        if player not in self._players:
            raise PluginError(f"set_gradients({player!r}, ...) in an update of {', '.join(self._players)}.")
        parameters = [p for group in self._state.players[player].optimizer.param_groups for p in group["params"]]
        if len(gradients) != len(parameters):
            raise PluginError(
                f"set_gradients({player!r}, ...): {len(gradients)} gradients for {len(parameters)} parameters."
            )
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = None if gradient is None else self._scaler.scale(_in_the_order_of(parameter, gradient))

    def logs(self) -> Logs:
        """The sum of the losses, and the logs by name; both are means over microbatches."""
        parts = self._state.gan.config.accumulate
        logs = {
            name: values[0] if len(values) == 1 else torch.stack(values).mean(0) for name, values in self._logs.items()
        }
        if not self._losses:
            return logs
        loss = self._losses[0] if len(self._losses) == 1 else torch.stack(self._losses).sum()
        return {f"{self._players[0]}_loss": loss if parts == 1 else loss / parts, **logs}


def _in_the_order_of(parameter: Tensor, gradient: Tensor) -> Tensor:
    """`gradient` in the memory format of `parameter`, as backward leaves it: fused Adam does not look at strides."""
    gradient = gradient.detach()
    same = gradient.shape != parameter.shape or gradient.stride() == parameter.stride()
    return gradient if same else torch.empty_like(parameter, dtype=gradient.dtype).copy_(gradient)


def split_batch(state: TrainingState, real: Tensor, given: Condition) -> list[MicroBatch]:
    """Split this rank's batch into microbatches; noise and codes are drawn for the global batch, then sharded."""
    gan, n, parts = state.gan, state.gan.config.batch_size, state.gan.config.accumulate
    condition = gan.condition(given, n, state.rng)
    if given is None and condition is not None:  # drawn by the GAN, for the global batch
        condition = map_condition(lambda drawn: distributed.shard(drawn, parts), condition)
    z = distributed.shard(gan.latent(n, state.rng), parts)
    return [MicroBatch(*part) for part in zip(real.chunk(parts), split_condition(condition, parts), z.chunk(parts))]
