"""Fair timing on a noisy machine: contestants take turns, medians are compared, disturbed turns do not count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FREE = 0.9
"""Part of the gauge's best speed at which the machine still counts as free: a neighbour on a core costs a fifth."""
ENOUGH = 5
"""Free turns that every contestant must have, of so many rounds or more, for only those to count."""


@dataclass(frozen=True)
class Turns:
    """Seconds of one call of each contestant, one figure a turn that counts, and the gauge's least seconds."""

    times: dict[str, list[float]]
    gauge: float
    total: int
    """Of all contestants together."""
    disturbed: int
    """Turns before or after which something else used the machine."""

    @property
    def counted(self) -> int:
        """Turns that count: those that were not disturbed, or all."""
        return sum(map(len, self.times.values()))


def turns(contestants: Mapping[str, Callable[[], Any]], rounds: int, calls: int = 1) -> dict[str, list[float]]:
    """Seconds of one call of each contestant, one figure a turn, over `rounds` of turns of `calls` each."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            times[name].append(_turn(call, calls))
    return times


def gauged_turns(
    contestants: Mapping[str, Callable[[], Any]], gauge: Callable[[], Any], rounds: int, calls: int = 1
) -> Turns:
    """As `turns`, but those count before and after which `gauge` ran at 0.9 of its best speed in this race or more.

    `gauge` is work that takes as long whenever the machine is free, so what it finds says nothing about a contestant.
    Where a contestant has fewer than five such turns, or of fewer rounds not all, every turn counts.
    """
    readings, taken = [_turn(gauge, 1)], []
    for _ in range(rounds):
        for name, call in contestants.items():
            taken.append((name, _turn(call, calls)))
            readings.append(_turn(gauge, 1))
    free = [max(before, after) * FREE <= min(readings) for before, after in zip(readings, readings[1:])]
    every: dict[str, list[float]] = {name: [] for name in contestants}
    undisturbed: dict[str, list[float]] = {name: [] for name in contestants}
    for (name, seconds), is_free in zip(taken, free):
        every[name].append(seconds)
        if is_free:
            undisturbed[name].append(seconds)
    enough = all(len(times) >= min(ENOUGH, rounds) for times in undisturbed.values())
    return Turns(undisturbed if enough else every, min(readings), len(taken), free.count(False))


def interleaved(contestants: Mapping[str, Callable[[], Any]], rounds: int, calls: int = 1) -> dict[str, float]:
    """Median seconds of one call of each contestant, see `turns`."""
    return {name: statistics.median(taken) for name, taken in turns(contestants, rounds, calls).items()}


def _turn(call: Callable[[], Any], calls: int) -> float:
    """Seconds of one of `calls`, after one that is not timed.

    That one brings back the contestant's memory and threads, and the threads of the one before, which may still wait
    busily, go to sleep in the meantime.
    """
    call()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls
