"""Turns signals into requests: to stop after the current step and a checkpoint, or to save one and go on."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

STOP = ("SIGINT", "SIGTERM", "SIGHUP")
SAVE = "SIGUSR1"
"""What schedulers send some time before they end a job."""


class StopRequest:
    """While entered, the first SIGINT, SIGTERM or SIGHUP sets `signal`, and SIGUSR1 sets `save`.

    Later signals to stop are ignored, so that no save is cut short. SIGHUP is left alone where it is ignored already,
    as under nohup.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.save = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers in no other thread
            for name in (*STOP, SAVE):
                number = getattr(signal, name, None)  # some are missing on Windows
                if number is not None and not (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):
                    self._previous[number] = signal.signal(number, self._record)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _record(self, number: int, _: FrameType | None) -> None:
        if signal.Signals(number).name == SAVE:
            self.save = True
        else:
            self.signal = self.signal or number
