"""`ganzoo datasets`."""

from __future__ import annotations

import dataclasses
import json

import click

from ganzoo.core import registry
from ganzoo.core.spec import DataLocation


@click.command()
@click.option(
    "--data-dir", type=click.Path(file_okay=False), help="Directory that holds data files (or set GANZOO_DATA)."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def datasets(data_dir: str | None, as_json: bool) -> None:
    """List the data sets and whether they are on disk."""
    where = DataLocation.find(data_dir)
    entries = [_checked(entry, where) for entry in registry.datasets()]
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
    console.print_line(f"\nDownloads are stored in {where.cache}")
    if where.given:
        console.print_line(f"Files in {where.given} are used first")


def _checked(entry: registry.Entry, where: DataLocation) -> registry.Entry:
    """The entry, marked as broken if its `on_disk` raises."""
    if entry.error is None and not entry.card.argument:
        try:
            entry.card.on_disk(where)
        except Exception as failure:  # third-party code may raise anything
            return dataclasses.replace(entry, error=f"on_disk raised {type(failure).__name__}: {failure}")
    return entry


def _usage(entry: registry.Entry) -> str:
    argument = entry.card.argument if entry.card else None
    return f"{entry.name}:{argument}" if argument else entry.name


def _availability(entry: registry.Entry, where: DataLocation) -> str:
    if entry.error is not None or entry.card.argument:
        return ""
    return "yes" if entry.card.on_disk(where) else "no (downloaded on first use)"


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
