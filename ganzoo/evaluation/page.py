"""The page of `ganzoo compare --html`: one self-contained file that loads nothing."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from ganzoo.core.version import __version__
from ganzoo.evaluation import curves
from ganzoo.evaluation.compare import Column, footnotes, rows, settings, summary
from ganzoo.evaluation.results import BETTER, format_number, protocol_lines, stored_in

TEMPLATE = "comparison.html"
NOT_CURVES = ("step", "images", "seconds")


def page(columns: Sequence[Column]) -> str:
    """Render the comparison of `columns` as HTML. The template escapes all text, which may come from untrusted runs."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = format_number
    template = environment.from_string(resources.files(__package__).joinpath(TEMPLATE).read_text("utf-8"))
    table = rows(columns)
    notes, note_numbers = footnotes(table)
    values_by_setting = settings(columns)
    return template.render(
        title=" · ".join(column.name for column in columns),
        version=__version__,
        time=datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        columns=columns,
        rows=table,
        better=BETTER,
        summary=summary(columns, table),
        notes=notes,
        note_numbers=note_numbers,
        protocol_lines=protocol_lines,
        curves=curves,
        charts=_charts(columns),
        grids=list(_grids(columns)),
        pictures=list(_metric_pictures(columns)),
        differing={name: values for name, values in values_by_setting.items() if len(set(values)) > 1},
        equal={name: values for name, values in values_by_setting.items() if len(set(values)) == 1},
    )


def _charts(columns: Sequence[Column]) -> list[curves.Chart]:
    """A chart for every numeric entry of metrics.jsonl, with a line for each run."""
    signals = dict.fromkeys(name for column in columns for line in column.history for name in line)
    charts = []
    for signal in signals:
        lines = {
            column.name: [
                (float(line["step"]), float(line[signal]))
                for line in column.history
                if isinstance(line.get(signal), (int, float))
            ]
            for column in columns
        }
        if signal not in NOT_CURVES:
            charts.append(curves.chart(signal.replace("_", " "), lines))
    return [chart for chart in charts if chart is not None]


def _grids(columns: Sequence[Column]) -> Iterable[dict[str, Any]]:
    """The newest sample grid of each run."""
    for column in columns:
        if column.run.grid is not None:
            yield from _picture(column, column.name, column.run.grid)


def _metric_pictures(columns: Sequence[Column]) -> Iterable[dict[str, Any]]:
    for column in columns:
        for result in column.evaluation.findings.values():
            for path in result.get("pictures", []):
                description = result["protocol"].get("picture")
                caption = f"{column.name}: {description}" if description else column.name
                yield from _picture(column, caption, stored_in(column.run).path / path)


def _picture(column: Column, caption: str, path: Path) -> Iterable[dict[str, Any]]:
    """The picture at `path` for embedding, unless it lies outside the run, directly or through a link."""
    if path.is_file() and any(
        path.resolve().is_relative_to(folder.path.resolve()) for folder in (column.run, stored_in(column.run))
    ):
        yield {"caption": caption, "file": path.stem, "data": base64.b64encode(path.read_bytes()).decode()}
