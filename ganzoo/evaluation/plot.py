"""Training curves as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ganzoo.evaluation import curves
from ganzoo.training.run import Run

SCALE = 2
COLUMNS = 2
TITLE = 30
NOT_CURVES = ("step", "images", "seconds", "images_per_second")
TOGETHER = {
    "loss": ("discriminator_loss", "generator_loss"),
    "D(real) and D(fake)": ("d_real", "d_fake"),
    "gradient norm": ("discriminator_gradient", "generator_gradient"),
}
"""Signals of one run that are drawn in one chart."""
INK, GRID, ALARM = (40, 40, 40), (225, 225, 225), (200, 30, 60)


def plot(runs: Mapping[str, Run]) -> Tensor | None:
    """The curves of one run, or of several by name, uint8 [3, H, W]; None if there are no metrics yet.

    A single run's alarms are marked at their steps; of several runs, each signal has a chart with a line per run.
    """
    rows = {name: run.metrics() for name, run in runs.items()}
    signals = dict.fromkeys(
        name for metrics in rows.values() for row in metrics for name in row if name not in NOT_CURVES
    )
    alarms: list[tuple[int, str]] = []
    if len(runs) == 1:
        ((name, run),) = runs.items()
        alarms = [(alarm.step, alarm.name) for alarm in run.alarms()]
        grouped = {title: [s for s in group if s in signals] for title, group in TOGETHER.items()}
        taken = {signal for group in grouped.values() for signal in group}
        grouped |= {signal.replace("_", " "): [signal] for signal in signals if signal not in taken}
        charts = {title: {s.replace("_", " "): _line(rows[name], s) for s in group} for title, group in grouped.items()}
    else:
        charts = {s.replace("_", " "): {name: _line(rows[name], s) for name in runs} for s in signals}
    drawn = [_chart(title, lines, alarms) for title, lines in charts.items() if any(lines.values())]
    return _page(", ".join(runs), [chart for chart in drawn if chart is not None])


def _line(rows: Sequence[Mapping[str, float | None]], signal: str) -> list[tuple[float, float]]:
    return [(float(row["step"] or 0), float(value)) for row in rows if (value := row.get(signal)) is not None]


def _chart(
    title: str, lines: Mapping[str, Sequence[tuple[float, float]]], alarms: Sequence[tuple[int, str]]
) -> Image.Image | None:
    layout = curves.chart(title, lines)
    if layout is None:
        return None
    image = Image.new("RGB", (curves.WIDTH * SCALE, curves.HEIGHT * SCALE), "white")
    draw = ImageDraw.Draw(image)
    small, large = ImageFont.load_default(10 * SCALE), ImageFont.load_default(12 * SCALE)
    left, right = curves.LEFT * SCALE, (curves.WIDTH - curves.RIGHT) * SCALE
    top, bottom = curves.TOP * SCALE, (curves.HEIGHT - curves.BOTTOM) * SCALE
    draw.text((left, 4 * SCALE), layout.title, INK, large)
    for y, label in layout.y_ticks:
        draw.line([(left, y * SCALE), (right, y * SCALE)], GRID, SCALE)
        draw.text((left - 5 * SCALE, y * SCALE), label, INK, small, anchor="rm")
    for x, label in layout.x_ticks:
        draw.text((x * SCALE, bottom + 5 * SCALE), label, INK, small, anchor="mt")
    last = max(x for line in lines.values() for x, _ in line)
    for step, name in alarms:
        if 0 < step <= last:
            x = left + step / last * (right - left)
            draw.line([(x, top), (x, bottom)], ALARM, SCALE)
            on_the_right = x > (left + right) / 2
            draw.text(
                (x + (-3 if on_the_right else 3) * SCALE, top),
                name,
                ALARM,
                small,
                anchor="ra" if on_the_right else "la",
            )
    for _, colour, points in layout.polylines:
        path = [tuple(SCALE * float(n) for n in point.split(",")) for point in points.split()]
        draw.line([n for point in path for n in point], colour, 2 * SCALE, joint="curve")
    if len(layout.polylines) > 1:
        x = right
        for name, colour, _ in reversed(layout.polylines):
            draw.text((x, 6 * SCALE), name, colour, small, anchor="ra")
            x -= draw.textlength(name, small) + 10 * SCALE
    return image


def _page(title: str, charts: Sequence[Image.Image]) -> Tensor | None:
    if not charts:
        return None
    width, height = charts[0].size
    rows = -(-len(charts) // COLUMNS)
    page = Image.new("RGB", (min(COLUMNS, len(charts)) * width, TITLE * SCALE + rows * height), "white")
    ImageDraw.Draw(page).text((12 * SCALE, 8 * SCALE), title, INK, ImageFont.load_default(14 * SCALE))
    for i, chart in enumerate(charts):
        page.paste(chart, (i % COLUMNS * width, TITLE * SCALE + i // COLUMNS * height))
    return torch.from_numpy(np.array(page)).permute(2, 0, 1)
