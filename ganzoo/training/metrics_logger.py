"""What a training has been through: signals of its steps, averaged into the lines of metrics.jsonl."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import TrainingError
from ganzoo.losses import LOSSES, PENALTIES
from ganzoo.training import checkpoint
from ganzoo.training.callbacks import Report
from ganzoo.training.diagnostics import Health
from ganzoo.training.failure_detection import Watch
from ganzoo.training.run import Run
from ganzoo.training.state import TrainingState


class History:
    """Signals since the last line of metrics.jsonl, kept on the device and read from there once a line."""

    def __init__(self, run: Run, state: TrainingState, health: Health):
        self.run = run
        self.state = state
        self.health = health
        config = state.gan.config
        self.probabilities = LOSSES[config.loss].probability
        self.watch = Watch(config.loss, config.real_label, _half_life_of_slopes(config))
        for row in run.metrics():  # of a run that is resumed
            self.watch.see(row)
        self.names: list[str] = []
        self.rows: list[Tensor] = []
        self.since = time.monotonic()

    def add(self, signals: dict[str, Tensor]) -> None:
        self.names = list(signals)
        self.rows.append(torch.stack([value.float() for value in signals.values()]))

    def write(self, report: Report) -> None:
        """Average what was added since the last call into one line. TrainingError if any step was not finite."""
        if not self.rows:
            return
        health = self.health.measure()
        table = torch.stack(self.rows)
        self.rows.clear()
        distributed.all_reduce_mean([table])
        table = table.cpu()
        self._refuse_non_finite(table)
        now = time.monotonic()
        config = self.state.gan.config
        images = len(table) * config.discriminator_steps * config.batch_size
        row = {"step": self.state.step, "images": self.state.images_seen, "seconds": round(self.state.seconds, 3)}
        row |= {name: round(value, 6) for name, value in zip(self.names, table.mean(dim=0).tolist())}
        if self.probabilities:
            beliefs = table[:, [self.names.index("d_real"), self.names.index("d_fake")]]
            row["equilibrium_distance"] = round(float((beliefs - 0.5).abs().mean()), 6)
        measured = torch.stack(list(health.values())).tolist()
        row |= {name: float(f"{value:.4g}") for name, value in zip(health, measured)}
        row["images_per_second"] = round(images / max(now - self.since, 1e-9), 1)
        self.since = now
        if distributed.rank() == 0:
            self.run.add_metrics(row)
        report.metrics(row)
        alarm = self.watch.see(row)
        if alarm is not None:
            if distributed.rank() == 0:
                self.run.record(alarm)
            report.alarm(alarm)

    def _refuse_non_finite(self, table: Tensor) -> None:
        for back, row in enumerate(table.tolist()):
            for name, value in zip(self.names, row):
                if not math.isfinite(value):
                    step = self.state.step - len(table) + back + 1
                    phase = "generator" if name.startswith("generator") else "discriminator"
                    raise diverged(self.run, f"at step {step}, in the {phase}'s phase, {name} became {value}")


def diverged(run: Run, what: str) -> TrainingError:
    """The error for a training that has left the finite numbers."""
    last = checkpoint.checkpoints(run.checkpoints)
    kept = f"The last good checkpoint is {last[0]}." if last else "There is no checkpoint."
    return TrainingError(
        f"Training diverged: {what}. {kept} "
        "Try a lower learning rate (--set generator_lr=..., discriminator_lr=...) or --precision fp32."
    )


def _half_life_of_slopes(config: Any) -> float:
    """In images, of the penalty on the discriminator's slopes; infinite where none falls."""
    falls = config.penalty in PENALTIES and config.penalty_half_life > 0
    return float(config.penalty_half_life) if falls else math.inf
