"""Rows of metrics: logs of the steps since the last row, averaged, with diagnostics."""

from __future__ import annotations

import math
import time
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
        self.names: list[str] = []
        self.steps: list[Tensor] = []
        self.last_row_at = time.monotonic()

    def add(self, logs: Logs) -> None:
        """Add the logs of one step."""
        self.names = list(logs)
        self.steps.append(torch.stack([value.float() for value in logs.values()]))

    def row(self) -> dict[str, Any] | None:
        """The mean of the steps added since the last row; None if there were none.

        Raises TrainingError, naming step and phase, if a value is not finite.
        """
        if not self.steps:
            return None
        diagnostics = self.diagnostics.measure()
        table = torch.stack(self.steps)
        self.steps.clear()
        distributed.all_reduce_mean([table])
        table = table.cpu()
        self._check_finite(table)
        now = time.monotonic()
        config = self.state.gan.config
        images = len(table) * config.discriminator_steps * config.batch_size
        row = {"step": self.state.step, "images": self.state.images_seen, "seconds": round(self.state.seconds, 3)}
        row |= {name: round(value, 6) for name, value in zip(self.names, table.mean(dim=0).tolist())}
        if self.probabilities:
            beliefs = table[:, [self.names.index("d_real"), self.names.index("d_fake")]]
            row["equilibrium_distance"] = round(float((beliefs - 0.5).abs().mean()), 6)
        values = torch.stack(list(diagnostics.values())).tolist()
        row |= {name: float(f"{value:.4g}") for name, value in zip(diagnostics, values)}
        row["images_per_second"] = round(images / max(now - self.last_row_at, 1e-9), 1)
        self.last_row_at = now
        return row

    def _check_finite(self, table: Tensor) -> None:
        for back, row in enumerate(table.tolist()):
            for name, value in zip(self.names, row):
                if not math.isfinite(value):
                    step = self.state.step - len(table) + back + 1
                    phase = "generator" if name.startswith("generator") else "discriminator"
                    raise diverged(self.run, f"at step {step}, in the {phase}'s phase, {name} became {value}")


def diverged(run: Run, what: str) -> TrainingError:
    """Error for a training whose numbers are no longer finite."""
    checkpoints = checkpoint.checkpoints(run.checkpoints)
    last = f"The last good checkpoint is {checkpoints[0]}." if checkpoints else "There is no checkpoint."
    return TrainingError(
        f"Training diverged: {what}. {last} "
        "Try a lower learning rate (--set generator_lr=..., discriminator_lr=...) or --precision fp32."
    )
