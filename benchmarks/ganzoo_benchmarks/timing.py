"""Timing on a noisy machine: contestants take turns, medians are compared, disturbed turns are ignored."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

Conditions = Mapping[str, Callable[[], AbstractContextManager[object]]]
"""By the name of a contestant: makes the context for each of its turns. Contestants may be missing."""

FREE = 0.9
"""Fraction of the gauge's best speed from which the machine counts as free: another program on a core costs a fifth."""
ENOUGH = 5
"""Number of free turns that every contestant needs (or all, in fewer rounds) for the others to be ignored."""


@dataclass(frozen=True)
class Turns:
    """Seconds per call of each contestant in every turn that counts, and the fewest seconds of the gauge."""

    times: dict[str, list[float]]
    gauge: float
    total: int
    """Turns of all contestants together."""
    disturbed: int
    """Turns before or after which another program used the machine."""

    @property
    def counted(self) -> int:
        """Number of turns that count: the undisturbed ones, or all."""
        return sum(map(len, self.times.values()))


def turns(contestants: Mapping[str, Callable[[], Any]], rounds: int, calls: int = 1) -> dict[str, list[float]]:
    """Seconds per call of each contestant in each of `rounds` turns of `calls` calls."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            times[name].append(_turn(call, calls))
    return times


def gauged_turns(
    contestants: Mapping[str, Callable[[], Any]],
    gauge: Callable[[], Any],
    rounds: int,
    calls: int = 1,
    conditions: Conditions | None = None,
) -> Turns:
    """Like `turns`, but ignores turns before or after which `gauge` ran below 0.9 of its best speed in this race.

    `gauge` is work that always takes equally long on a free machine, so it does not depend on the contestants. If a
    contestant has fewer than five free turns (or not all, in fewer rounds), every turn counts.
    """
    readings, measured = [_turn(gauge, 1)], []
    for _ in range(rounds):
        for name, call in contestants.items():
            with (conditions or {}).get(name, nullcontext)():
                measured.append((name, _turn(call, calls)))
            readings.append(_turn(gauge, 1))
    free = [max(before, after) * FREE <= min(readings) for before, after in zip(readings, readings[1:])]
    every: dict[str, list[float]] = {name: [] for name in contestants}
    undisturbed: dict[str, list[float]] = {name: [] for name in contestants}
    for (name, seconds), is_free in zip(measured, free):
        every[name].append(seconds)
        if is_free:
            undisturbed[name].append(seconds)
    enough = all(len(times) >= min(ENOUGH, rounds) for times in undisturbed.values())
    return Turns(undisturbed if enough else every, min(readings), len(measured), free.count(False))


def interleaved(contestants: Mapping[str, Callable[[], Any]], rounds: int, calls: int = 1) -> dict[str, float]:
    """Median seconds of one call of each contestant, see `turns`."""
    return {name: statistics.median(times) for name, times in turns(contestants, rounds, calls).items()}


def _turn(call: Callable[[], Any], calls: int) -> float:
    """Seconds per call of `calls` calls, after one that is not timed.

    The first call brings back the contestant's memory and threads, while spinning threads of the previous contestant go
    to sleep.
    """
    call()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls
