"""`ganzoo datasets`: the data sets, and which are on disk."""

from __future__ import annotations

import dataclasses
import json

import click

from ganzoo.core import registry
from ganzoo.core.spec import DataLocation


@click.command()
@click.option("--data-dir", type=click.Path(file_okay=False), help="Where data files already are (or GANZOO_DATA).")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def datasets(data_dir: str | None, as_json: bool) -> None:
    """List the data sets, and which of them are on disk."""
    where = DataLocation.find(data_dir)
    entries = [_looked_up(entry, where) for entry in registry.datasets()]
    if as_json:
        click.echo(json.dumps([_row(entry, where) for entry in entries], indent=2))
        return
    from ganzoo.cli.console import Console, table

    rows = [
        (
            _usage(entry),
            entry.card.summary if entry.error is None else f"broken: {entry.error}",
            _availability(entry, where),
            f"{entry.distribution} {entry.version}",
        )
        for entry in entries
    ]
    console = Console()
    console.print(table(("name", "what it is", "on disk", "from"), rows))
    console.tell(f"\nDownloads are kept in {where.cache}")
    if where.given:
        console.tell(f"Files are taken from {where.given} where they are there")


def _looked_up(entry: registry.Entry, where: DataLocation) -> registry.Entry:
    """The entry, broken where it cannot say whether its files are there."""
    if entry.error is None and not entry.card.argument:
        try:
            entry.card.on_disk(where)
        except Exception as failure:  # a stranger's code may raise anything, and must not take the list with it
            return dataclasses.replace(entry, error=f"on_disk raised {type(failure).__name__}: {failure}")
    return entry


def _usage(entry: registry.Entry) -> str:
    argument = entry.card.argument if entry.card else None
    return f"{entry.name}:{argument}" if argument else entry.name


def _availability(entry: registry.Entry, where: DataLocation) -> str:
    if entry.error is not None or entry.card.argument:
        return ""
    return "yes" if entry.card.on_disk(where) else "no, is downloaded"


def _row(entry: registry.Entry, where: DataLocation) -> dict[str, object]:
    card = entry.card
    return {
        "name": entry.name,
        "kind": card.kind if card else None,
        "argument": card.argument if card else None,
        "paired": card.paired if card else None,
        "summary": card.summary if card else None,
        "source": card.source if card else None,
        "on_disk": _availability(entry, where) == "yes",
        "distribution": entry.distribution,
        "version": entry.version,
        "status": entry.status,
        "error": entry.error,
    }
