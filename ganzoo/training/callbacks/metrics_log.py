"""Writes metrics.jsonl."""

from __future__ import annotations

from typing import Any

from ganzoo.training.callbacks.callback import Callback, Training


class MetricsLog(Callback):
    """Appends every row of metrics to the run's metrics.jsonl."""

    def on_start(self, training: Training) -> None:
        self.run = training.run

    def on_metrics(self, row: dict[str, Any]) -> None:
        self.run.add_metrics(row)
