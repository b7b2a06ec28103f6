"""Rows of metrics: the logs of the steps since the last row, averaged, and the diagnostics."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import TrainingError
from ganzoo.gan import Logs
from ganzoo.losses import get_loss
from ganzoo.training import checkpoint
from ganzoo.training.diagnostics import Diagnostics
from ganzoo.training.run import Run
from ganzoo.training.state import TrainingState


class MetricsAccumulator:
    """Collects the logs of steps on the device; `row` reads them back, once per row of metrics.jsonl."""

    def __init__(self, run: Run, state: TrainingState, diagnostics: Diagnostics):
        self.run = run
        self.state = state
        self.diagnostics = diagnostics
        self.probabilities = get_loss(state.gan.config.loss).probability
        self.names: list[tuple[str, ...]] = []
        self.steps: list[Tensor] = []
        self.last_row_at = time.monotonic()

    def add(self, logs: Logs) -> None:
        """Add the logs of one step. Steps may log different names; those of one step are the same on all ranks."""
        self.names.append(tuple(logs))
        self.steps.append(torch.stack([value.float() for value in logs.values()]))

    def row(self) -> dict[str, Any] | None:
        """The mean of every log over the steps since the last row that have it; None if there were no steps.

        Raises TrainingError, naming step and phase, if a value is not finite.
        """
        if not self.steps:
            return None
        diagnostics = self.diagnostics.measure()
        values = torch.cat(self.steps)
        distributed.all_reduce_mean([values])
        names, table, present = _table(self.names, values.cpu())
        self.names.clear()
        self.steps.clear()
        self._check_finite(names, table)
        now = time.monotonic()
        config = self.state.gan.config
        images = len(table) * config.discriminator_steps * config.batch_size
        row = {"step": self.state.step, "images": self.state.images_seen, "seconds": round(self.state.seconds, 3)}
        means = table.sum(dim=0) / present.sum(dim=0)
        row |= {name: round(value, 6) for name, value in zip(names, means.tolist())}
        if self.probabilities and {"d_real", "d_fake"} <= set(names):
            sides = [names.index("d_real"), names.index("d_fake")]
            probabilities = table[present[:, sides].all(dim=1)][:, sides]
            row["equilibrium_distance"] = round(float((probabilities - 0.5).abs().mean()), 6)
        measured = torch.stack(list(diagnostics.values())).tolist()
        row |= {name: float(f"{value:.4g}") for name, value in zip(diagnostics, measured) if math.isfinite(value)}
        row["images_per_second"] = round(images / max(now - self.last_row_at, 1e-9), 1)
        self.last_row_at = now
        return row

    def _check_finite(self, names: list[str], table: Tensor) -> None:
        for back, row in enumerate(table.tolist()):
            for name, value in zip(names, row):
                if not math.isfinite(value):
                    step = self.state.step - len(table) + back + 1
                    player = next((p for p in self.state.players if name.startswith(f"{p}_")), "discriminator")
                    raise NotFiniteError(f"at step {step}, in the {player}'s phase, {name} became {value}")


def _table(names: list[tuple[str, ...]], values: Tensor) -> tuple[list[str], Tensor, Tensor]:
    """All names, their values [steps, names] with 0 where a step lacks one, and whether it has it, bool.

    `values` are those of the first step in the order of its names, then those of the second, and so on.
    """
    columns = {name: i for i, name in enumerate(dict.fromkeys(name for step in names for name in step))}
    table = torch.zeros(len(names), len(columns))
    present = torch.zeros(len(names), len(columns), dtype=torch.bool)
    for row, (step, logs) in enumerate(zip(names, values.split([len(step) for step in names]))):
        of_step = [columns[name] for name in step]
        table[row, of_step] = logs
        present[row, of_step] = True
    return list(columns), table, present


class NotFiniteError(TrainingError):
    """Values are no longer finite; the message says which."""


@contextlib.contextmanager
def explain_divergence(run: Run) -> Iterator[None]:
    """Turn a NotFiniteError into an error that names the last good checkpoint of `run` and what to try."""
    try:
        yield
    except NotFiniteError as failure:
        raise diverged(run, str(failure)) from failure


def diverged(run: Run, what: str) -> TrainingError:
    """Error for training in which values are no longer finite; `what` says which."""
    checkpoints = checkpoint.checkpoints(run.checkpoints)
    last = f"The last good checkpoint is {checkpoints[0]}." if checkpoints else "There is no checkpoint."
    return TrainingError(
        f"Training diverged: {what}. {last} "
        "Try a lower learning rate (--set generator_lr=..., discriminator_lr=...) or --precision fp32."
    )
