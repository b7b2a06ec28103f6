"""`ganzoo list`."""

from __future__ import annotations

import json

import click

from ganzoo.core import registry
from ganzoo.core.entry_points import KINDS

GROUPS = ("Unconditional", "Class-conditional", "Image to image", "Audio", "Points", "Other data", "Broken")
"""The headings, in the order of the list."""


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="List every plugin: data sets, losses, metrics, loggers, ...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(everything: bool, as_json: bool) -> None:
    """List the architectures, including those of other packages.

    Losses, penalties, metrics and loggers are imported when they are used: `--all` lists them as "installed".
    """
    if everything:
        return _list_all(as_json)
    entries = registry.architectures()
    if as_json:
        click.echo(json.dumps([_row(entry) for entry in entries], indent=2))
        return
    from ganzoo.cli.console import Console, table

    console = Console()
    for group in GROUPS:
        rows = [
            (
                entry.name,
                entry.card.summary if entry.error is None else f"broken: {entry.error}",
                _needs(entry),
                f"{entry.distribution} {entry.version}",
            )
            for entry in entries
            if _group(entry) == group
        ]
        if rows:
            console.print(table(("name", "what it is", "needs", "from"), rows, title=group))
            console.print()


def _list_all(as_json: bool) -> None:
    loaded = {registry.ARCHITECTURES: registry.architectures, registry.DATASETS: registry.datasets}
    entries = [entry for group in KINDS for entry in (loaded[group]() if group in loaded else registry.unloaded(group))]
    rows = [
        {
            "kind": KINDS[entry.group],
            "name": entry.name,
            "summary": entry.card.summary if entry.card else None,
            "target": entry.target,
            "distribution": entry.distribution,
            "version": entry.version,
            "status": entry.status if entry.card or entry.error else "installed",
            "error": entry.error,
        }
        for entry in entries
    ]
    if as_json:
        return click.echo(json.dumps(rows, indent=2))
    from ganzoo.cli.console import Console, table

    cells = [
        (
            row["kind"],
            row["name"],
            f"broken: {row['error']}" if row["error"] else row["status"],
            row["summary"] or "",
            f"{row['distribution']} {row['version']}",
        )
        for row in rows
    ]
    Console().print(table(("kind", "name", "state", "what it is", "from"), cells))


def _group(entry: registry.Entry) -> str:
    """The one of GROUPS that the architecture belongs to."""
    if entry.error is not None:
        return "Broken"
    if entry.card.paired:
        return "Image to image"
    if "images" not in entry.card.kinds:
        return {("audio",): "Audio", ("points",): "Points"}.get(tuple(entry.card.kinds), "Other data")
    steered = entry.card.conditional and "generator" in entry.card.steers
    return "Class-conditional" if steered else "Unconditional"


def _needs(entry: registry.Entry) -> str:
    card = entry.card
    if card is None or entry.error is not None:
        return ""
    if card.paired:
        return "two sets of images" if card.unpaired else "pairs"
    if card.conditional:
        return "labels"
    return "" if "images" in card.kinds else " or ".join(card.kinds)


def _row(entry: registry.Entry) -> dict[str, object]:
    card = entry.card
    return {
        "name": entry.name,
        "summary": card.summary if card else None,
        "paper": card.paper if card else None,
        "conditional": card.conditional if card else None,
        "paired": card.paired if card else None,
        "distribution": entry.distribution,
        "version": entry.version,
        "status": entry.status,
        "error": entry.error,
    }
