"""`ganzoo list`."""

from __future__ import annotations

import json

import click

from ganzoo.core import registry


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(as_json: bool) -> None:
    """List the architectures, including those of other packages."""
    entries = registry.architectures()
    if as_json:
        click.echo(json.dumps([_row(entry) for entry in entries], indent=2))
        return
    from ganzoo.cli.console import Console, table

    rows = [
        (
            entry.name,
            entry.card.summary if entry.error is None else f"broken: {entry.error}",
            _needs(entry),
            f"{entry.distribution} {entry.version}",
        )
        for entry in entries
    ]
    Console().print(table(("name", "what it is", "needs", "from"), rows))


def _needs(entry: registry.Entry) -> str:
    if entry.error is not None:
        return ""
    return "labels" if entry.card.conditional else "pairs" if entry.card.paired else ""


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
