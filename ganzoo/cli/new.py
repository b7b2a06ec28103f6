"""`ganzoo new NAME`."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.core.paths import shell_word


@click.command()
@click.argument("name")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Directory to write to.  [default: ./ganzoo-NAME]"
)
def new(name: str, directory: Path | None) -> None:
    """Write a plugin package with a new architecture called NAME.

    The package trains and passes every check. Change it step by step into your own; docs/plugins.md explains how.
    """
    from ganzoo.core.paths import user_path
    from ganzoo.template import write

    target = write(name, None if directory is None else user_path(directory))
    for file in sorted(path for path in target.rglob("*") if path.is_file()):
        click.echo(file)
    click.echo(f"\nInstall  pip install -e {shell_word(target)}")
    click.echo(f"Train    ganzoo train {name} --dataset digits")
    click.echo(f"Check    ganzoo check {name}")
