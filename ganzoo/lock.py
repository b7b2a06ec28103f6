"""Files as locks between processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the file at `path`, which is made where it is missing and stays; what is in it stays, too.

    Where another process holds it, wait, or raise BlockingIOError. The system lets go when a process dies. Windows has
    no such locks: there nothing is held.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
