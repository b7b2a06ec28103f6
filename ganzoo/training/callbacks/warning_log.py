"""Alarms and notes as warnings of Python's logging."""

from __future__ import annotations

import logging

from ganzoo.core.text import printable
from ganzoo.training.callbacks.callback import Callback
from ganzoo.training.failure_detection import Alarm


class WarningLog(Callback):
    """Logs alarms and notes as warnings of the logger "ganzoo"."""

    def on_alarm(self, alarm: Alarm) -> None:
        logging.getLogger("ganzoo").warning(printable(str(alarm)))

    def on_note(self, text: str) -> None:
        logging.getLogger("ganzoo").warning(printable(text))
