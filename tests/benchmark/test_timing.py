from __future__ import annotations

import time

import pytest

from ganzoo.benchmark.timing import interleaved, turns


def test_contestants_take_turns_each_with_a_call_to_warm_up() -> None:
    order: list[str] = []
    taken = turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2, calls=2)
    assert "".join(order) == "aaabbb" * 2
    assert {name: len(times) for name, times in taken.items()} == {"a": 2, "b": 2}


def test_one_slow_round_does_not_move_the_median() -> None:
    naps = iter([0.0, 0.0, 0.0, 0.2, 0.0, 0.0])  # a call to warm up, and a timed one, in each of three rounds

    def call() -> None:
        time.sleep(next(naps))

    assert interleaved({"napper": call}, rounds=3)["napper"] < 0.1


def test_seconds_are_of_one_call() -> None:
    (median,) = interleaved({"sleeper": lambda: time.sleep(0.02)}, rounds=3, calls=4).values()
    assert median == pytest.approx(0.02, rel=0.8)
