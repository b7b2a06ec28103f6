"""Fair timing on a noisy machine: contestants take turns, and medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def interleaved(contestants: dict[str, Callable[[], None]], rounds: int, calls: int = 1) -> dict[str, float]:
    """Median seconds of one call of each contestant over `rounds` of `calls` each, taking turns, after a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for attempt in range(rounds + 1):
        for name, call in contestants.items():
            start = time.perf_counter()
            for _ in range(calls):
                call()
            if attempt:
                times[name].append((time.perf_counter() - start) / calls)
    return {name: statistics.median(taken) for name, taken in times.items()}
