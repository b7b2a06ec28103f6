"""Curves of a training as SVG, drawn with nothing but text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 26, 24
MOST_POINTS = 300
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999933", "#882255")
"""Okabe and Ito's, which people who see few colours can tell apart."""

Line = Sequence[tuple[float, float]]


def chart(title: str, lines: Mapping[str, Line]) -> str:
    """An SVG of `lines`, by name, each of points (x, y) with x ascending. Points that are not finite are left out."""
    drawn = {name: thinned([p for p in line if all(map(math.isfinite, p))]) for name, line in lines.items()}
    xs = [x for line in drawn.values() for x, _ in line]
    ys = [y for line in drawn.values() for _, y in line]
    if not xs:
        return ""
    x_ticks, y_ticks = ticks(0, max(xs)), ticks(min(ys), max(ys))
    x_low, x_high = 0.0, max(max(xs), 1e-12)
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM),
        )

    parts = [f'<text x="{LEFT}" y="15" class="title">{escape(title)}</text>']
    for tick in y_ticks:
        _, y = place(0, tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="rule"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        if tick <= x_high:
            x, _ = place(tick, y_low)
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 7}" text-anchor="middle">{tick:g}</text>')
    for (name, line), number in zip(drawn.items(), range(len(drawn))):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline points="{points}" stroke="{colour}"><title>{escape(name)}</title></polyline>')
    label = escape(f"{title} against steps", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def thinned(line: Line) -> Line:
    """At most 300 points: the means of as many neighbours each."""
    step = -(-len(line) // MOST_POINTS)
    if step <= 1:
        return line
    groups = [line[i : i + step] for i in range(0, len(line), step)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that span [low, high], about so many."""
    # what is nearer than the labels can show counts as one value
    span = next(width for width in (high - low, abs(high), 1.0) if width > 1e-9)
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= span / about)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]
