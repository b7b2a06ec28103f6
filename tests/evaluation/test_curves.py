from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.evaluation.curves import HEIGHT, MOST_POINTS, WIDTH, chart, thinned, ticks

numbers = st.floats(-1e9, 1e9)


@given(st.lists(st.tuples(st.floats(0, 1e7), st.floats(allow_nan=True, allow_infinity=True, width=32)), max_size=30))
def test_any_points_make_a_chart_within_its_bounds_or_none(points: list[tuple[float, float]]) -> None:
    svg = chart("loss & <more>", {"<a run>": sorted(points, key=lambda p: p[0])})
    if not any(math.isfinite(y) for _, y in points):
        assert svg == ""
        return
    root = ElementTree.fromstring(svg)
    (line,) = [e for e in root if e.tag == "polyline"]
    assert line[0].text == "<a run>"
    for place in re.findall(r"([-\d.]+),([-\d.]+)", line.attrib["points"]):
        x, y = map(float, place)
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_long_lines_are_thinned_to_means() -> None:
    thin = thinned([(float(x), float(x % 2)) for x in range(10_000)])
    assert len(thin) <= MOST_POINTS
    assert thin[-1][0] == 9999
    assert all(0.4 < y < 0.6 for _, y in thin)


@given(numbers, numbers)
def test_ticks_span_the_range(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = ticks(low, high)
    slack = 1e-9 * max(abs(low), abs(high), 1)
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 8


def test_ticks_are_round() -> None:
    assert ticks(0, 1) == pytest.approx([0, 0.5, 1])
    assert ticks(0.3, 7.1) == [0, 2, 4, 6, 8]
