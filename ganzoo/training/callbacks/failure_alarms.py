"""Detects failing training from its metrics, raises alarms and writes alarms.jsonl."""

from __future__ import annotations

from typing import Any

from ganzoo.core.errors import GanzooError
from ganzoo.training.callbacks.callback import Callback, Training
from ganzoo.training.failure_detection import Alarm, FailureDetector


class FailureAlarms(Callback):
    """Passes every row of metrics to a `FailureDetector`; a resumed run first passes the rows of metrics.jsonl."""

    def on_start(self, training: Training) -> None:
        self.training = training
        self.detector = FailureDetector.of(training.state.gan.config)
        for row in training.run.metrics():
            self._update(row)

    def on_metrics(self, row: dict[str, Any]) -> None:
        alarm = self._update(row)
        if alarm is not None:
            self.training.run.add_alarm(alarm)
            self.training.callbacks.on_alarm(alarm)

    def _update(self, row: dict[str, Any]) -> Alarm | None:
        try:
            return self.detector.update(row)
        except (LookupError, TypeError, ArithmeticError) as failure:  # earlier rows are from the file
            raise GanzooError(f"{self.training.run.metrics_file} has rows that do not fit: {failure!r}.") from failure
