"""Detects failing training from its metrics, raises alarms and writes alarms.jsonl."""

from __future__ import annotations

from typing import Any

from ganzoo.core.errors import GanzooError
from ganzoo.training.callbacks.callback import Callback, Training
from ganzoo.training.failure_detection import FailureDetector


class FailureAlarms(Callback):
    """Passes every row of metrics to a `FailureDetector`; a resumed run first passes the rows of metrics.jsonl."""

    def on_start(self, training: Training) -> None:
        self.training = training
        self.detector = FailureDetector.of(training.state.gan.config)
        for row in training.run.metrics():
            try:
                self.detector.update(row)
            except (LookupError, TypeError, ArithmeticError) as failure:
                raise GanzooError(f"{training.run.metrics_file} is damaged: {failure!r}.") from failure

    def on_metrics(self, row: dict[str, Any]) -> None:
        alarm = self.detector.update(row)
        if alarm is not None:
            self.training.run.add_alarm(alarm)
            self.training.callbacks.on_alarm(alarm)
