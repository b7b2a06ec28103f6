"""The page `ganzoo compare --html` writes: one file that needs no other, and no network."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from ganzoo.core.version import __version__
from ganzoo.evaluation.compare import Column, incomparable, rows, settings
from ganzoo.evaluation.curves import COLOURS, chart
from ganzoo.evaluation.results import BETTER, number, protocol_lines

NOT_CURVES = ("step", "images", "seconds")

STYLE = """
:root { color-scheme: light dark; --line: #8884; --mark: #0072b222; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { font-variant-numeric: tabular-nums; } td.best { font-weight: 700; background: var(--mark); }
tr.differs td { background: var(--mark); } .faint { opacity: .7; font-size: .87rem; }
.curves, .pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg .title { font-weight: 600; font-size: 12.5px; } svg .rule { stroke: var(--line); }
svg polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
figure { margin: 0; } figcaption { font-size: .87rem; }
figure img { width: 100%; max-width: 32rem; image-rendering: pixelated; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
"""


def page(columns: Sequence[Column]) -> str:
    """A self-contained HTML page that compares `columns`. All text that comes from runs is escaped."""
    names = [column.name for column in columns]
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    title = " · ".join(Path(name).name for name in names)
    parts = [
        "<!doctype html>", '<html lang="en">', '<meta charset="utf-8">',
        # nothing is loaded and nothing runs, whatever a run's names may hold
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>",
        f"<h1>{escape(title)}</h1>", f'<p class="faint">ganzoo {__version__}, {day}</p>',
        "<h2>Figures</h2>", _figures(columns, names),
        "<h2>Curves</h2>", _curves(columns),
        "<h2>Samples</h2>", _pictures((column, column.name, column.run.grid) for column in columns),
        "<h2>Findings in pictures</h2>", _pictures(_findings(columns)),
        "<h2>Settings</h2>", _settings(columns, names),
        "</html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _figures(columns: Sequence[Column], names: Sequence[str]) -> str:
    found = rows(columns)
    body, remarks = [], [f"* {line}" for line in incomparable(found)]
    for row in found:
        cells = []
        for i, figure in enumerate(row.figures):
            value = number(figure["value"]) if figure else ""
            spread = f" ± {number(figure['spread'], 2)}" if figure and "spread" in figure else ""
            cells.append(f'<td class="number{" best" * (i in row.best)}">{value}{spread}</td>')
        foot = "<sup>*</sup>" if row.differences else ""
        body.append(
            f"<tr><th>{escape(row.name)}{foot}</th>{''.join(cells)}"
            f'<td class="number">{number(row.real)}</td><td>{BETTER[row.better]}</td></tr>'
        )
    remarks += [f"{column.name}: {note}" for column in columns for note in column.notes]
    protocols = "".join(
        f"<p>{escape(column.name)}, {escape(column.evaluation.checkpoint)}<br>"
        f"{'<br>'.join(map(escape, protocol_lines(column.evaluation)))}</p>"
        for column in columns
    )
    return (
        _table(["", *names, "real data", "better"], body)
        + "".join(f"<p>{escape(remark)}</p>" for remark in remarks)
        + f'<details class="faint"><summary>Protocols</summary>{protocols}</details>'
    )


def _curves(columns: Sequence[Column]) -> str:
    signals = dict.fromkeys(name for column in columns for row in column.history for name in row)
    charts = []
    for signal in signals:
        lines = {
            column.name: [
                (float(row["step"]), float(row[signal]))
                for row in column.history
                if isinstance(row.get(signal), (int, float))
            ]
            for column in columns
        }
        if signal not in NOT_CURVES:
            charts.append(chart(signal.replace("_", " "), lines))
    keys = " &nbsp; ".join(
        f'<span><span class="key" style="background:{COLOURS[i % len(COLOURS)]}"></span>{escape(column.name)}</span>'
        for i, column in enumerate(columns)
    )
    return (
        f'<p>{keys} <span class="faint">against generator steps</span></p><div class="curves">{"".join(charts)}</div>'
    )


def _findings(columns: Sequence[Column]) -> Iterable[tuple[Column, str, Path]]:
    for column in columns:
        for finding in column.evaluation.findings.values():
            for picture in finding.get("pictures", []):
                said = finding["protocol"].get("picture")
                yield column, column.name + (f": {said}" if said else ""), column.run.path / picture


def _pictures(found: Iterable[tuple[Column, str, Path | None]]) -> str:
    """Pictures with captions. What a run calls its picture and lies, or leads, outside of it is left out."""
    figures = []
    for column, caption, path in found:
        if path is not None and path.is_file() and path.resolve().is_relative_to(column.run.path.resolve()):
            data = base64.b64encode(path.read_bytes()).decode()
            figures.append(
                f'<figure><img alt="{escape(caption, quote=True)}" src="data:image/png;base64,{data}">'
                f"<figcaption>{escape(f'{caption} ({path.stem})')}</figcaption></figure>"
            )
    return f'<div class="pictures">{"".join(figures)}</div>'


def _settings(columns: Sequence[Column], names: Sequence[str]) -> str:
    differing: list[str] = []
    same: list[str] = []
    for name, values in settings(columns).items():
        differs = len(set(values)) > 1
        cells = "".join(f"<td>{escape(value)}</td>" for value in values)
        line = f"<tr{' class=differs' * differs}><th>{escape(name)}</th>{cells}</tr>"
        (differing if differs else same).append(line)
    shared = (
        f"<details><summary>{len(same)} settings that do not differ</summary>{_table(['', *names], same)}</details>"
    )
    return (_table(["", *names], differing) if differing else "") + shared


def _table(heads: Sequence[str], body: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(body)}</table></div>'
