"""Work on many files by the worker processes of torch's DataLoader, with the results in order."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from ganzoo.core.errors import DataError, GanzooError

S = TypeVar("S")
T = TypeVar("T")
FEW = 16
"""So many chunks of work are faster than the start of a worker."""
CHUNK = 32
MAX_WORKERS = 16
FIRST_SECONDS, REPORT_SECONDS = 1.0, 5.0
"""Seconds until the first report of progress, and between later ones."""


def in_order(work: Callable[[int], T], count: int, what: str, chunk: int = CHUNK) -> Iterator[T]:
    """Yield work(0), ..., work(count - 1). Progress is logged; `what` says of what: "Decoding images".

    Workers do `chunk` of them at a time. Raises the GanzooError that `work` raises, and DataError if a worker is
    killed, for example because memory is exhausted.
    """
    workers = _workers() if count > FEW * chunk else 0
    chunk = chunk if workers else 1
    chunks = (range(start, min(start + chunk, count)) for start in range(0, count, chunk))
    results = (result for part in _ahead(lambda part: list(map(work, part)), chunks, workers) for result in part)
    began = reported = time.monotonic()
    for number, result in enumerate(results):
        now = time.monotonic()
        if now - reported > (FIRST_SECONDS if reported == began else REPORT_SECONDS):
            reported = now
            rate = number / (now - began)
            logging.getLogger("ganzoo").warning(f"{what}: {number:,} of {count:,}, {rate:,.0f} per second")
        yield result


def ahead(work: Callable[[S], T], items: Iterable[S]) -> Generator[T]:
    """Yield work(item) of each of the `items`, which may be endless: workers do the next ones in advance.

    Raises what `in_order` raises. The workers end when the generator is closed.
    """
    return _ahead(work, items, _workers())


def _workers() -> int:
    """The number of workers for each rank on this machine; 0 means to work in this process."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return 0
    cores = len(os.sched_getaffinity(0))
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(max(1, cores // ranks), MAX_WORKERS) if cores > 1 else 0


def _ahead(work: Callable[[S], T], items: Iterable[S], workers: int) -> Generator[T]:
    if workers == 0:
        yield from map(work, items)
        return
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Work(Dataset[T | GanzooError]):
        def __getitem__(self, item: Any) -> T | GanzooError:
            try:
                return work(item)
            except GanzooError as failure:  # raised here, its message would be a traceback
                return failure

    loader: DataLoader[T | GanzooError] = DataLoader(
        Work(), batch_size=None, sampler=items, num_workers=workers, collate_fn=_as_it_is,
        multiprocessing_context="fork",
        worker_init_fn=_leave_interrupts,
        generator=torch.Generator(),  # otherwise it draws from the random state of the training
    )  # fmt: skip
    try:
        for result in loader:
            if isinstance(result, GanzooError):
                raise result
            yield result
    except RuntimeError as failure:
        if "DataLoader worker" not in str(failure):
            raise
        raise DataError(f"The files cannot be read: {str(failure).splitlines()[0]}") from failure


def _leave_interrupts(_: int) -> None:
    """Ctrl-C reaches workers as well, and it is for the process that they work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_it_is(result: T) -> T:
    return result
