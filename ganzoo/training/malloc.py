"""malloc's thresholds while training, where malloc is glibc's.

glibc maps a block of 32 MiB or more afresh for every call and returns the top of the heap beyond 64 MiB to the system.
A training step frees and requests the same hundreds of MiB each time, which would arrive page by page, zeroed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

# Parameters of mallopt(3), and what glibc's own adjustment of the thresholds reaches at most.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_INT = (1 << 31) - 1
MAPPED_FROM, TRIMMED_FROM = 1 << 25, 1 << 26


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep memory that is freed for the next request; on exit, return it to the system.

    Does nothing where malloc is not glibc's, or the environment chooses its thresholds (GLIBC_TUNABLES, MALLOC_*).
    """
    libc = None if _chosen_by_environment() else _glibc()
    if libc is None:
        yield
        return
    # Setting one threshold stops the adjustment of both. Before 2.35, mmap's could be 32 MiB at most.
    if not libc.mallopt(M_MMAP_THRESHOLD, LARGEST_INT):
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
    libc.mallopt(M_TRIM_THRESHOLD, LARGEST_INT)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
        libc.mallopt(M_TRIM_THRESHOLD, TRIMMED_FROM)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library of this process; None if it is another one."""
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):  # Windows has no handle for all that is loaded
        return None
    return libc if all(hasattr(libc, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")) else None


def _chosen_by_environment() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "glibc.malloc." in tunables or any(name.startswith("MALLOC_") for name in os.environ)
