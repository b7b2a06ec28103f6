"""A time limit for decoders, which may never end on damaged files."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SECONDS = 60.0
"""More than any image of a size that is accepted needs."""


@contextlib.contextmanager
def deadline(seconds: float | None = None) -> Iterator[None]:
    """Raise TimeoutError in a block that takes longer than `seconds`, by default SECONDS.

    Python code and decoders that read piece by piece are stopped. There is no limit outside the main thread, on
    Windows, or while another alarm is set.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer") or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    limit = SECONDS if seconds is None else seconds

    def stop(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"it takes longer than {limit:g} s to decode")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
