"""`ganzoo runs [DIR]`: list, sort and delete runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli import completions
from ganzoo.core.errors import GanzooError, UsageError, did_you_mean

if TYPE_CHECKING:
    from ganzoo.training.run import Run

FIGURES = 3
"""Number of figures in the table for each run, the main ones first; --json has all of them."""
SORTS = ("name", "modified", "step", "rate", "alarms")


@click.command()
@click.argument("folder", metavar="[DIR]", default="runs")
@click.option(
    "--sort", metavar="KEY", default="name", show_default=True, help=f"{', '.join(SORTS)}, or a figure such as frechet."
)
@click.option("--reverse", is_flag=True, help="Largest first.")
@click.option(
    "--delete", "doomed", multiple=True, metavar="RUN", shell_complete=completions.runs,
    help="Delete this run, after asking; repeat it for several.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def runs(folder: str, sort: str, reverse: bool, doomed: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """List the runs in DIR, by default the folder `runs`.

    DIR may be a URL of object storage, such as s3://bucket/runs.

    A run that has not been evaluated has no figures: `ganzoo evaluate RUN` measures them.

    \b
    ganzoo runs --sort frechet
    ganzoo runs --delete runs/cgan-mnist-001
    """
    if doomed:
        return _delete(doomed, yes)
    from ganzoo.core.paths import is_url
    from ganzoo.explore.run_folder import RunFolder, remote_summaries

    root = Path(folder)
    if not is_url(folder) and not root.is_dir():
        raise UsageError(f"There is no directory {folder}. Training makes one: ganzoo train cgan --dataset digits.")
    rows = _sorted(remote_summaries(folder) if is_url(folder) else RunFolder(root).summaries(), sort, reverse)
    if as_json:
        public = [{key: value for key, value in row.items() if key != "id"} for row in rows]
        return click.echo(json.dumps(public, indent=2))
    _show(rows, folder)


def _sorted(rows: list[dict[str, Any]], sort: str, reverse: bool) -> list[dict[str, Any]]:
    """The rows by this key, those that lack it at the end. UsageError if none has it."""
    figures = {name for row in rows for name in row.get("figures", {})}
    if sort not in SORTS and sort not in figures:
        raise UsageError(f"There is nothing to sort by called {sort!r}. {did_you_mean(sort, [*SORTS, *figures])}")

    def value(row: dict[str, Any]) -> Any:
        if sort == "alarms":
            return len(row.get("alarms", []))
        return row.get(sort) if sort in SORTS else row.get("figures", {}).get(sort)

    known = [row for row in rows if value(row) is not None]
    return sorted(known, key=value, reverse=reverse) + [row for row in rows if value(row) is None]


def _show(rows: Sequence[dict[str, Any]], folder: str) -> None:
    from ganzoo.cli.console import Console, table

    console = Console(highlight=False)
    if not rows:
        return console.print_line(f"There are no runs in {folder}.")
    sound = [row for row in rows if "error" not in row]
    console.print(table(("run", "architecture", "data", "step", "alarms", "figures"), [_cells(row) for row in sound]))
    for row in rows:
        if "error" in row:
            console.print_line(f"{row['name']} cannot be read: {row['error']}")


def _cells(row: dict[str, Any]) -> list[str]:
    from ganzoo.evaluation.results import format_number

    step = f"{row['step']:,}" if row["complete"] or row["steps"] is None else f"{row['step']:,} of {row['steps']:,}"
    if row["training"]:
        step += f", {row['rate'] or 0:,.0f} images/s"
    alarms = [alarm.partition(": ")[2] for alarm in row["alarms"]]
    figures = [f"{name} {format_number(value, 3)}" for name, value in list(row["figures"].items())[:FIGURES]]
    return [
        row["name"], row["architecture"], row["dataset"], step, ", ".join(dict.fromkeys(alarms)), ", ".join(figures),
    ]  # fmt: skip


def _delete(names: Sequence[str], yes: bool) -> None:
    from ganzoo.training.run import Run

    found = [Run.open(name) for name in names]
    for run in found:
        if run.model is not None:
            raise UsageError(
                f"{run.model} is a model, not a run. pip uninstall removes the package that it is part of."
            )
        if run.path.is_symlink():
            raise UsageError(f"{run.path} is a link. Delete the directory it points to.")
        with run.locked():  # refuses a run that is being trained
            pass
    for run in found:
        click.echo(f"{run.label}: {_describe(run)}")
    if not yes:
        click.confirm(f"Delete {'this run' if len(found) == 1 else f'these {len(found)} runs'}?", abort=True)
    for run in found:
        try:
            if run.remote is not None:
                run.remote.delete()
            else:
                shutil.rmtree(run.path)
        except OSError as failure:
            raise GanzooError(f"{run.label} cannot be deleted: {failure.strerror or failure}") from failure
        click.echo(f"{run.label} deleted")


def _describe(run: Run) -> str:
    """What a question about deletion must say: the size, and the files that are not of the training."""
    from ganzoo.training.run import WRITTEN_FILES, WRITTEN_FOLDERS

    if run.remote is not None:
        return f"{sum(run.remote.files.values()) / 1e6:,.1f} MB"
    size = sum(path.lstat().st_size for path in run.path.rglob("*"))
    ours = {*WRITTEN_FILES, *WRITTEN_FOLDERS, "evaluation", "evaluation.json", ".evaluation.json.lock"}
    others = sorted(path.name for path in run.path.iterdir() if path.name not in ours)
    text = f"{size / 1e6:,.1f} MB"
    return text + (f", with files of yours: {', '.join(others[:5])}" if others else "")
