"""Keeps memory that a training step frees for the next step, where malloc is glibc's.

Every step frees a few hundred MiB and allocates them again. By default, glibc asks the operating system for each block
of 32 MiB or more, and returns free memory at the top of the heap beyond 64 MiB. New pages arrive one fault at a time,
and the system fills them with zeros first.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

# Parameters of mallopt(3), and what glibc's own adjustment of the thresholds reaches at most.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_INT = (1 << 31) - 1
THRESHOLDS = ("mmap_threshold", "trim_threshold", "top_pad", "mmap_max")
"""Parameters that, once set, end glibc's own adjustment: `GLIBC_TUNABLES=glibc.malloc.NAME=...`, `MALLOC_NAME_=...`."""
MAPPED_FROM, TRIMMED_FROM = 1 << 25, 1 << 26


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep memory that is freed for the next request; on exit, return it to the system.

    Does nothing where malloc is not glibc's, or if the environment sets one of `THRESHOLDS` (mallopt(3)).
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
    return any(f"glibc.malloc.{name}=" in tunables or f"MALLOC_{name.upper()}_" in os.environ for name in THRESHOLDS)
