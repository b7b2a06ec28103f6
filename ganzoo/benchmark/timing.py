"""Fair timing on a noisy machine: contestants take turns, and medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def turns(contestants: Mapping[str, Callable[[], Any]], rounds: int, calls: int = 1) -> dict[str, list[float]]:
    """Seconds of one call of each contestant, one figure a turn, over `rounds` of turns of `calls` each.

    Every turn begins with a call that is not timed: it brings back the contestant's memory and threads, and the threads
    of the one before, which may still wait busily, go to sleep in the meantime.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            call()
            start = time.perf_counter()
            for _ in range(calls):
                call()
            times[name].append((time.perf_counter() - start) / calls)
    return times


def interleaved(contestants: Mapping[str, Callable[[], Any]], rounds: int, calls: int = 1) -> dict[str, float]:
    """Median seconds of one call of each contestant, see `turns`."""
    return {name: statistics.median(taken) for name, taken in turns(contestants, rounds, calls).items()}
