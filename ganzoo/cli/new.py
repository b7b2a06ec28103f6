"""`ganzoo new NAME`: a plugin package to start from."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where to.  [default: ./ganzoo-NAME]")
def new(name: str, directory: Path | None) -> None:
    """Write a complete package with an architecture called NAME.

    It trains and passes every check as it is; then make it yours. docs/plugins.md has the whole way.
    """
    from ganzoo.template import write

    target = write(name, directory)
    for file in sorted(path for path in target.rglob("*") if path.is_file()):
        click.echo(file)
    click.echo(f"\nInstall  pip install -e {target}")
    click.echo(f"Train    ganzoo train {name} --dataset digits")
    click.echo(f"Check    ganzoo check {name}")
