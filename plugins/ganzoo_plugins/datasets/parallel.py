"""Work on many files at once, by the worker processes of torch's DataLoader, with the results in order."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from ganzoo.errors import DataError

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

T = TypeVar("T")
FEW = 512
"""So many files are faster than the start of a worker."""
MAX_WORKERS = 16
CHUNK = 32
FIRST_SECONDS, REPORT_SECONDS = 1.0, 5.0
"""When progress is said first, and how often afterwards."""


def in_order(work: Callable[[int], T], count: int, what: str) -> Iterator[T]:
    """Yield work(0), ..., work(count - 1). Progress is logged; `what` says of what: "Decoding images".

    DataError if a worker is killed, for example because memory is exhausted.
    """
    workers = _workers(count)
    results = (work(number) for number in range(count)) if workers == 0 else _results(work, count, workers)
    began = reported = time.monotonic()
    for number, result in enumerate(results):
        now = time.monotonic()
        if now - reported > (FIRST_SECONDS if reported == began else REPORT_SECONDS):
            reported = now
            rate = number / (now - began)
            logging.getLogger("ganzoo").warning(f"{what}: {number:,} of {count:,}, {rate:,.0f} per second")
        yield result


def _workers(count: int) -> int:
    """How many workers are worth it here; 0 to work in this process."""
    if count <= FEW or sys.platform != "linux" or multiprocessing.current_process().daemon:
        return 0
    cores = len(os.sched_getaffinity(0))
    return min(cores, MAX_WORKERS) if cores > 1 else 0


def _results(work: Callable[[int], T], count: int, workers: int) -> Iterator[T]:
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Work(Dataset[T]):
        def __len__(self) -> int:
            return count

        def __getitem__(self, number: int) -> T:
            return work(number)

    loader: DataLoader[T] = DataLoader(
        Work(), batch_size=CHUNK, num_workers=workers, collate_fn=list, multiprocessing_context="fork",
        generator=torch.Generator(),  # otherwise it draws from the random state of the training
    )  # fmt: skip
    try:
        for results in loader:
            yield from results
    except RuntimeError as failure:
        if "DataLoader worker" not in str(failure):
            raise
        raise DataError(f"The files cannot be read: {str(failure).splitlines()[0]}") from failure
