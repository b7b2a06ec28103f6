from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.evaluation.curves import COLOURS, HEIGHT, MAX_POINTS, WIDTH, chart, thinned, ticks

numbers = st.floats(-1e9, 1e9)


@given(st.lists(st.tuples(st.floats(0, 1e7), st.floats(allow_nan=True, allow_infinity=True, width=32)), max_size=30))
def test_any_points_make_a_chart_within_its_bounds_or_none(points: list[tuple[float, float]]) -> None:
    layout = chart("loss", {"a run": sorted(points, key=lambda p: p[0])})
    finite = [y for _, y in points if math.isfinite(y)]
    if not finite:
        assert layout is None
        return
    assert layout is not None
    ((name, colour, polyline),) = layout.polylines
    assert (name, colour) == ("a run", COLOURS[0])
    places = [tuple(map(float, place.split(","))) for place in polyline.split()]
    assert len(places) == len(finite)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert all(0 <= x <= WIDTH for x, _ in layout.x_ticks)
    assert all(0 <= y <= HEIGHT for y, _ in layout.y_ticks)


def test_a_chart_puts_points_between_its_ticks() -> None:
    layout = chart("loss", {"a": [(0.0, 0.0), (50.0, 2.0), (100.0, 1.0)], "b": [(0.0, 1.0)]})
    assert layout is not None
    y = {label: position for position, label in layout.y_ticks}
    x = {label: position for position, label in layout.x_ticks}
    (_, _, a), (_, second, b) = layout.polylines
    assert a == f"{x['0']:.1f},{y['0']:.1f} {x['50']:.1f},{y['2']:.1f} {x['100']:.1f},{y['1']:.1f}"
    assert b == f"{x['0']:.1f},{y['1']:.1f}"
    assert second == COLOURS[1]


def test_long_lines_are_thinned_to_means() -> None:
    thin = thinned([(float(x), float(x % 2)) for x in range(10_000)])
    assert len(thin) <= MAX_POINTS
    assert thin[-1][0] == 9999
    assert all(0.4 < y < 0.6 for _, y in thin)


@given(numbers, numbers)
def test_ticks_span_the_range(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    result = ticks(low, high)
    slack = 1e-9 * max(abs(low), abs(high), 1)
    assert result[0] <= low + slack
    assert result[-1] >= high - slack
    assert 2 <= len(result) <= 8


def test_ticks_are_round() -> None:
    assert ticks(0, 1) == pytest.approx([0, 0.5, 1])
    assert ticks(0.3, 7.1) == [0, 2, 4, 6, 8]
