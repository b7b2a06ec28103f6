"""A logger for Weights & Biases: `ganzoo train ... --logger wandb`."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from ganzoo import Callback
from ganzoo.errors import UsageError


class Logger(Callback):
    """Metrics, settings, sample grids and alarms in one run of Weights & Biases; a resumed training continues it.

    WANDB_PROJECT, WANDB_MODE and the other variables of wandb apply.
    """

    def __init__(self) -> None:
        try:
            import wandb
        except ImportError:
            raise UsageError("--logger wandb needs Weights & Biases: pip install wandb") from None
        self.wandb = wandb
        self.run: Any = None

    def on_start(self, training: Any) -> None:
        folder = training.run.path
        id_file = folder / "wandb-id.txt"
        if not id_file.exists():
            id_file.write_text(secrets.token_hex(4))
        try:
            self.run = self.wandb.init(
                id=id_file.read_text(),
                resume="allow",
                name=folder.name,
                dir=str(folder),
                config=training.run.config,
                settings=self.wandb.Settings(silent=True),
            )
        except self.wandb.Error as failure:
            raise UsageError(f"Weights & Biases starts no run: {failure}") from failure

    def on_metrics(self, row: dict[str, Any]) -> None:
        self.run.log(row, step=row["step"])

    def on_samples(self, path: Path, step: int) -> None:
        self.run.log({"samples": self.wandb.Image(str(path))}, step=step)

    def on_alarm(self, alarm: Any) -> None:
        self.run.alert(title=alarm.name, text=str(alarm))

    def on_end(self) -> None:
        if self.run is not None:
            self.run.finish()
