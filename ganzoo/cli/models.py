"""`ganzoo models [NAME]`."""

from __future__ import annotations

import json
from typing import Any

import click

from ganzoo.cli import completions
from ganzoo.core import models as packages
from ganzoo.core.entry_points import MODELS
from ganzoo.core.errors import GanzooError, UsageError, did_you_mean


@click.command()
@click.argument("name", required=False, metavar="[NAME]", shell_complete=completions.names(MODELS))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def models(name: str | None, as_json: bool) -> None:
    """List the installed models, or show the card of one.

    A model's name can be used wherever a RUN is expected.
    """
    installed = packages.installed()
    if name is not None:
        return _show_card(name)
    rows = [_row(model) for model in installed]
    if as_json:
        return click.echo(json.dumps(rows, indent=2))
    from ganzoo.cli.console import Console, table

    console = Console()
    if not rows:
        return console.print("No model is installed. `ganzoo pack` makes a package of a run.")
    cells = [
        (row["name"], row["architecture"] or f"broken: {row['error']}", row["dataset"] or "", row["from"])
        for row in rows
    ]
    console.print(table(("name", "architecture", "data", "from"), cells))


def _row(model: packages.Model) -> dict[str, Any]:
    from ganzoo.training.run import Run

    row: dict[str, Any] = {"name": model.name, "from": f"{model.distribution} {model.version}", "error": model.error}
    row |= {"architecture": None, "dataset": None, "folder": model.folder and str(model.folder)}
    if model.folder is not None:
        try:
            config = Run.open(model.folder).config
            row |= {"architecture": config["architecture"], "dataset": config["dataset"]["name"]}
        except GanzooError as failure:
            row["error"] = str(failure)
    return row


def _show_card(name: str) -> None:
    from ganzoo.cli.console import Console
    from ganzoo.core.files import read_text

    folder = packages.find(name)
    if folder is None:
        known = [model.name for model in packages.installed()]
        raise UsageError(f"No model is called {name!r}. {did_you_mean(name, known)}")
    Console(highlight=False).print(read_text(folder / "CARD.md", 1 << 20), markup=False, soft_wrap=True)
