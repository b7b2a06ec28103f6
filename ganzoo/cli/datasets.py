"""`ganzoo datasets`."""

from __future__ import annotations

import dataclasses
import json

import click

from ganzoo.core import registry
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataLocation


@click.command()
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--preview", is_flag=True, help="Show the data set NAME: a grid, counts, classes, sizes.")
@click.option("--image-size", type=click.IntRange(1, 4096), help="With --preview: the image side to show.")
@click.option("--out", metavar="FILE.png", help="With --preview: where to write the grid.")
@click.option("--cache", is_flag=True, help="List what is cached, of NAME or of all, and ask whether to delete it.")
@click.option("--yes", is_flag=True, help="With --cache: delete without asking.")
@click.option(
    "--data-dir", type=click.Path(file_okay=False), help="Directory that holds data files (or set GANZOO_DATA)."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def datasets(
    name: str | None, preview: bool, image_size: int | None, out: str | None, cache: bool, yes: bool,
    data_dir: str | None, as_json: bool,
) -> None:  # fmt: skip
    """List the data sets and whether they are on disk.

    \b
    ganzoo datasets folder:photos --preview --out preview.png
    ganzoo datasets --cache
    """
    where = DataLocation.find(data_dir)
    if cache:
        from ganzoo.cli.cached import show_cache

        return show_cache(where.cache, name, yes, as_json)
    if preview:
        from ganzoo.cli.preview import show_data

        if name is None:
            raise UsageError("--preview needs the NAME of a data set.")
        return show_data(name, image_size, out, data_dir, as_json)
    if name is not None:
        raise UsageError(f"Please say what to do with {name}: --preview, or --cache.")
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
    console.print_line(f"\nWhat is not on disk is downloaded when it is first used, to {where.cache}")
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
    return "yes" if entry.card.on_disk(where) else "no"


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
