"""`ganzoo compare RUN ...`: runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganzoo.cli import completions

if TYPE_CHECKING:
    from ganzoo.cli.console import Console
    from ganzoo.evaluation.compare import Column


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN ...", shell_complete=completions.runs)
@click.option("--evaluate", "missing", is_flag=True, help="Evaluate the runs that were not, or were trained on since.")
@click.option("--html", metavar="FILE", help="Also write a page with settings, curves, grids and figures in one file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(runs: tuple[str, ...], missing: bool, html: str | None, as_json: bool) -> None:
    """Compare evaluated runs: their metrics and settings.

    \b
    ganzoo compare runs/cgan-mnist-001 runs/cgan-mnist-002
    ganzoo compare runs/*-mnist-* --evaluate --html comparison.html
    """
    from ganzoo.cli.console import Console
    from ganzoo.cli.evaluate import progress
    from ganzoo.evaluation import evaluate
    from ganzoo.evaluation.compare import columns, outdated, rows
    from ganzoo.evaluation.results import read
    from ganzoo.training.run import Run

    console = Console(stderr=as_json, highlight=False)
    paths = list(dict.fromkeys(runs))
    if html is not None and not Path(html).absolute().parent.is_dir():
        raise click.UsageError(f"--html {html}: the directory {Path(html).absolute().parent} does not exist.")
    for path in paths if missing else []:
        run = Run.open(path)
        if outdated(run, read(run)):
            console.tell(f"Evaluating {path}")
            with progress(console) as tell:
                evaluate(run, progress=tell)
    found = columns(paths)
    if html is not None:
        from ganzoo.core.files import write_text
        from ganzoo.evaluation.page import page

        write_text(Path(html), page(found))
    if as_json:
        result = {
            "runs": [column.name for column in found],
            "figures": {row.name: {"better": row.better, "figures": row.figures, "differences": row.differences}
                        for row in rows(found)},
            "settings": {column.name: column.settings for column in found},
        }  # fmt: skip
        return click.echo(json.dumps(result, indent=2))
    show(found, console)
    if html is not None:
        console.tell(f"\nPage  {html}")


def show(columns: list[Column], console: Console) -> None:
    """The figures, the best in bold, and the settings that differ."""
    from ganzoo.cli.console import escape, table
    from ganzoo.evaluation.compare import incomparable, rows, settings
    from ganzoo.evaluation.results import BETTER, number

    figures = rows(columns)
    names = [column.name for column in columns]
    lines = []
    for row in figures:
        values = [figure["value"] if figure else None for figure in row.figures]
        cells = [number(value) + " *" * (i in row.best) for i, value in enumerate(values)]
        lines.append((row.name, *cells, number(row.real), BETTER[row.better] + " (1)" * bool(row.differences)))
    console.print(table(("figure", *names, "real data", "better"), lines))
    if any(row.best for row in figures):
        console.print("* best of comparable figures")
    for line in incomparable(figures):
        console.say(f"(1) {escape(line)}")
    for column in columns:
        for note in column.notes:
            console.say(f"{escape(column.name)}: {escape(note)}")
    different = [(name, *values) for name, values in settings(columns).items() if len(set(values)) > 1]
    if different:
        console.print()
        console.print(table(("setting that differs", *names), different))
