"""`ganzoo compare RUN ...`: evaluated runs side by side."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ganzoo.cli import completions

if TYPE_CHECKING:
    from rich.table import Table

    from ganzoo.cli.console import Console
    from ganzoo.evaluation.compare import Column

Row = tuple[str, Sequence[str], Sequence[str]]
"""A name, one cell per run, and cells about all runs."""
UNLIMITED = 100_000
UNBROKEN = 20
"""Words up to this length are not broken to fit a table into the console's width."""


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN ...", shell_complete=completions.runs)
@click.option("--evaluate", "missing", is_flag=True, help="First evaluate runs without up-to-date results.")
@click.option("--html", metavar="FILE", help="Also write a self-contained page with metrics, curves and samples.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(runs: tuple[str, ...], missing: bool, html: str | None, as_json: bool) -> None:
    """Compare evaluated runs: their metrics and settings.

    \b
    ganzoo compare runs/cgan-mnist-001 runs/cgan-mnist-002
    ganzoo compare runs/*-mnist-* --evaluate --html comparison.html
    """
    from ganzoo.cli.console import Console
    from ganzoo.cli.evaluate import progress
    from ganzoo.core.files import write_text
    from ganzoo.core.paths import user_path
    from ganzoo.evaluation import evaluate
    from ganzoo.evaluation.compare import columns, outdated, rows, summary
    from ganzoo.evaluation.results import read
    from ganzoo.training.run import Run

    console = Console(stderr=as_json, highlight=False)
    paths = list(dict.fromkeys(runs))
    target = None if html is None else user_path(html)
    if target is not None and not target.absolute().parent.is_dir():
        raise click.UsageError(f"--html {html}: the directory {target.absolute().parent} does not exist.")
    for path in paths if missing else []:
        run = Run.open(path)
        if outdated(run, read(run)):
            console.print_line(f"Evaluating {path}")
            with progress(console) as update:
                evaluate(run, progress=update)
    compared = columns(paths)
    if target is not None:
        from ganzoo.evaluation.page import page

        write_text(target, page(compared))
    if as_json:
        result = {
            "runs": paths,
            "figures": {
                row.name: {"better": row.better, "figures": row.figures, "differences": list(row.differences)}
                for row in rows(compared)
            },
            "summary": summary(compared, rows(compared)),
            "alarms": {path: [dataclasses.asdict(a) for a in c.run.alarms()] for path, c in zip(paths, compared)},
            "settings": {path: column.settings for path, column in zip(paths, compared)},
        }
        return click.echo(json.dumps(result, indent=2))
    show(compared, console)
    if html is not None:
        console.print_line(f"\nPage  {html}")


def show(columns: Sequence[Column], console: Console) -> None:
    """Print the metrics, the best values starred, notes on them, and the settings that differ."""
    from ganzoo.cli.console import escape
    from ganzoo.evaluation.compare import footnotes, rows, settings, summary
    from ganzoo.evaluation.results import BETTER, format_number

    table = rows(columns)
    notes, note_numbers = footnotes(table)
    metrics = []
    for row in table:
        values = [figure["value"] if figure else None for figure in row.figures]
        cells = [format_number(value) + " *" * (i in row.best) for i, value in enumerate(values)]
        mark = f" ({note_numbers[row.name]})" if row.name in note_numbers else ""
        metrics.append((row.name + mark, cells, (format_number(row.real), BETTER[row.better])))
    different = [(name, values, ()) for name, values in settings(columns).items() if len(set(values)) > 1]

    headings = _headings(columns, metrics, console)
    for heading, column in zip(headings, columns):
        if heading != column.name:
            console.print_line(f"{heading}  {column.name}")
    _print_tables("metric", headings, ("real data", "better"), metrics, console)
    if any(row.best for row in table):
        console.print("* best value")
    if (verdict := summary(columns, table)) is not None:
        console.print_prose(f"\n[bold]{escape(verdict)}[/]\n")
    for number, note in enumerate(notes, 1):
        console.print_prose(f"({number}) {escape(note)}")
    for column in columns:
        for note in column.notes:
            console.print_prose(f"{escape(column.name)}: {escape(note)}")
    if different:
        console.print()
        _print_tables("setting that differs", headings, (), different, console)


def _headings(columns: Sequence[Column], rows: Sequence[Row], console: Console) -> list[str]:
    """The names of the runs if a table with them fits the console, otherwise numbers."""
    names = [column.name for column in columns]
    table = _table("metric", names, ("real data", "better"), rows)
    if len(columns) == 1 or _min_width(table, console) <= console.width:
        return names
    return [f"[{number}]" for number in range(1, len(columns) + 1)]


def _print_tables(
    title: str, headings: Sequence[str], extra: Sequence[str], rows: Sequence[Row], console: Console
) -> None:
    """Print a table with as many runs as fit the console, and further tables for the others."""
    start = 0
    while start < len(headings):
        end = len(headings)
        while True:
            part = [(name, cells[start:end], others) for name, cells, others in rows]
            table = _table(title, headings[start:end], extra, part)
            if end == start + 1 or _min_width(table, console) <= console.width:
                break
            end -= 1
        if start:
            console.print()
        console.print(table)
        start = end


def _table(title: str, headings: Sequence[str], extra: Sequence[str], rows: Sequence[Row]) -> Table:
    from ganzoo.cli.console import table

    lines = [(name, *cells, *others) for name, cells, others in rows]
    result = table((title, *headings, *extra), lines)
    result.columns[0].no_wrap = True
    for column, cells in zip(result.columns[1:], zip((*headings, *extra), *(line[1:] for line in lines))):
        column.min_width = min(UNBROKEN, max(len(word) for cell in cells for word in [*cell.split(), ""]))
    return result


def _min_width(table: Table, console: Console) -> int:
    """The width below which words of the table would be broken."""
    from rich.measure import Measurement

    for column in table.columns[1:]:
        column.max_width = column.min_width
    width = Measurement.get(console, console.options.update(width=UNLIMITED), table).maximum
    for column in table.columns[1:]:
        column.max_width = None
    return width
