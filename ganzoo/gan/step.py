"""The interface between a GAN and the trainer: players, microbatches and the context of one training step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ganzoo.gan.condition import Condition

Logs = dict[str, Tensor]
"""Values to log for one step: detached scalars by name."""


@dataclass(frozen=True)
class Player:
    """Networks that one optimizer trains: "discriminator", "generator", or a further player such as "encoder".

    Args:
        optimizer: of the parameters of these networks.
        networks: attributes of the GAN that hold them.
        average: whether their moving average is kept. Samples and `ganzoo.load` then use the average: parameters and
            running statistics of batch norm are averaged with `ema_half_life`, other buffers are copied.
    """

    optimizer: torch.optim.Optimizer
    networks: tuple[str, ...]
    average: bool = False


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """The part of a batch that goes through the networks at once.

    `real` [n, *spec.shape] in [-1, 1], the `condition` of these examples (see `GAN.condition`) and noise z.
    """

    real: Tensor
    condition: Condition
    z: Tensor


class Update(Protocol):
    """The gradients of one update."""

    def backward(self, loss: Tensor, logs: Logs | None = None) -> None:
        """Add the gradients of `loss`, a mean over one microbatch, or one term of it.

        The sum of the losses is logged as `PLAYER_loss`, after the first player of the update, `logs` by their names.
        """

    def set_gradients(self, player: str, gradients: Sequence[Tensor | None]) -> None:
        """Set the gradients of the player's parameters, in the order of its optimizer, instead of `backward`.

        For update rules that are not the gradient of one loss. Each is a mean over this rank's batch.
        """


class StepContext(Protocol):
    """One training step, as `GAN.training_step` sees it.

    It takes care of mixed precision, gradient accumulation, ranks, gradients that are not finite, and CUDA graphs.
    """

    logs: Logs
    """What the updates have logged so far; values may be added: detached scalars on the device."""

    @property
    def step(self) -> int:
        """The number of the step, from 0. What depends on it alone needs no state to resume exactly.

        Python code that does something else in some steps must be covered by `GAN.phase`.
        """

    @property
    def images_seen(self) -> int:
        """Real examples before this step, over all ranks."""

    @property
    def rng(self) -> torch.Generator:
        """The random generator of the training, the same on every rank."""

    @property
    def micro(self) -> MicroBatch:
        """The microbatch that `generate` was last called with: for losses that depend on z."""

    def batches(self, k: int = 0) -> list[MicroBatch]:
        """Batch `k` of this step, k < discriminator_steps, as `accumulate` microbatches with new noise."""

    def generate(self, micro: MicroBatch, keep_graph: bool = False) -> Tensor:
        """The generator's samples for a microbatch.

        In an update of the generator they carry its graph; in others only if `keep_graph`, and the generator's update
        then gets the same samples instead of computing them again.
        """

    def update(self, *players: str) -> AbstractContextManager[Update]:
        """One simultaneous update of these players from the gradients that are collected inside the block.

        The block runs in mixed precision if the training does. Other players than the generator collect no gradients
        meanwhile. At its end the optimizers step, unless a gradient is not finite, and `GAN.after_step` is called.
        """

    def mean_over_ranks(self, value: Tensor) -> Tensor:
        """The mean of the ranks' values, on every rank; differentiable. For state that a step computes from a batch."""
