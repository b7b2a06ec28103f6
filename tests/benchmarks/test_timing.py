from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator

import pytest
from ganzoo_benchmarks.timing import gauged_turns, interleaved, turns


def test_contestants_take_turns_and_each_turn_has_a_warm_up_call() -> None:
    order: list[str] = []
    result = turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2, calls=2)
    assert "".join(order) == "aaabbb" * 2
    assert {name: len(times) for name, times in result.items()} == {"a": 2, "b": 2}


def test_one_slow_round_does_not_move_the_median() -> None:
    naps = iter([0.0, 0.0, 0.0, 0.2, 0.0, 0.0])  # a call to warm up, and a timed one, in each of three rounds

    def call() -> None:
        time.sleep(next(naps))

    assert interleaved({"napper": call}, rounds=3)["napper"] < 0.1


def test_seconds_are_of_one_call() -> None:
    (median,) = interleaved({"sleeper": lambda: time.sleep(0.02)}, rounds=3, calls=4).values()
    assert median == pytest.approx(0.02, rel=0.8)


class Clock:
    """A fake time module: a call from `taking` advances the clock by the given seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def taking(self, seconds: Iterable[float]) -> Callable[[], None]:
        """A call that takes each of `seconds` twice: in the call before the timed one, and in the timed one."""
        left = iter([s for each in seconds for s in (each, each)])

        def call() -> None:
            self.now += next(left)

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("ganzoo_benchmarks.timing.time", clock)
    return clock


def test_turns_before_or_after_a_slow_gauge_are_ignored(clock: Clock) -> None:
    gauge = clock.taking([1.0, 1.25, 1.08, *[1.0] * 10])
    result = gauged_turns(
        {"a": clock.taking([9, 2, 2, 2, 2, 3]), "b": clock.taking([9, 5, 5, 7, 7, 7])}, gauge, rounds=6
    )
    times = {name: [round(t, 6) for t in times] for name, times in result.times.items()}
    assert times == {"a": [2, 2, 2, 2, 3], "b": [5, 5, 7, 7, 7]}
    assert (result.gauge, result.total, result.disturbed, result.counted) == (pytest.approx(1), 12, 2, 10)


def test_every_turn_counts_if_few_are_undisturbed(clock: Clock) -> None:
    gauge = clock.taking([*[1.0] * 5, 1.25, 1.25])
    result = gauged_turns({"a": clock.taking([2, 2, 2, 2, 4, 4])}, gauge, rounds=6)
    assert [round(t, 6) for t in result.times["a"]] == [2, 2, 2, 2, 4, 4]
    assert (result.disturbed, result.counted) == (2, 6)


def test_a_contestant_takes_each_turn_in_its_context() -> None:
    order: list[str] = []

    @contextlib.contextmanager
    def context() -> Iterator[None]:
        order.append("(")
        yield
        order.append(")")

    contestants = {name: functools.partial(order.append, name) for name in "ab"}
    gauged_turns(contestants, lambda: order.append("."), rounds=2, conditions={"a": context})
    assert "".join(order) == ".." + "(aa)..bb.." * 2
