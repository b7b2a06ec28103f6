"""The geometry of line charts: axes, ticks and points in the coordinates of an SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 26, 24
MAX_POINTS = 300
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999933", "#882255")
"""Okabe and Ito's palette, distinguishable with colour vision deficiency."""

Line = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart in SVG coordinates, of WIDTH by HEIGHT.

    x_ticks, y_ticks: (position, label).
    polylines: (name, colour, points), the points in the syntax of SVG.
    """

    title: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    polylines: list[tuple[str, str, str]]


def colour(index: int) -> str:
    """The colour of the line with this index."""
    return COLOURS[index % len(COLOURS)]


def chart(title: str, lines: Mapping[str, Line]) -> Chart | None:
    """Lay out `lines`, by name, of points (x, y) with ascending x; None if no point is finite."""
    thin = {name: thinned([p for p in line if all(map(math.isfinite, p))]) for name, line in lines.items()}
    xs = [x for line in thin.values() for x, _ in line]
    ys = [y for line in thin.values() for _, y in line]
    if not xs:
        return None
    x_ticks, y_ticks = ticks(0, max(xs)), ticks(min(ys), max(ys))
    x_high = max(max(xs), 1e-12)
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def to_x(x: float) -> float:
        return LEFT + x / x_high * (WIDTH - LEFT - RIGHT)

    def to_y(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    polylines = [
        (name, colour(i), " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in line))
        for i, (name, line) in enumerate(thin.items())
    ]
    return Chart(
        title,
        [(round(to_x(tick), 1), f"{tick:g}") for tick in x_ticks if tick <= x_high],
        [(round(to_y(tick), 1), f"{tick:g}") for tick in y_ticks],
        polylines,
    )


def thinned(line: Line) -> Line:
    """Reduce a line to at most 300 points by averaging neighbours."""
    step = -(-len(line) // MAX_POINTS)
    if step <= 1:
        return line
    groups = [line[i : i + step] for i in range(0, len(line), step)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers that span [low, high]."""
    # a range too small for the labels to show counts as a single value
    span = next(width for width in (high - low, abs(high), 1.0) if width > 1e-9)
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= span / count)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
