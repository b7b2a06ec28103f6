"""`ganzoo new NAME`."""

from __future__ import annotations

from pathlib import Path

import click

from ganzoo.core.paths import shell_word

KINDS = ("architecture", "dataset", "metric", "loss", "logger")


@click.command()
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(KINDS), default="architecture", show_default=True, help="What kind of plugin to write."
)
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Directory to write to.  [default: ./ganzoo-NAME]"
)
def new(name: str, kind: str, directory: Path | None) -> None:
    """Write a plugin package called NAME.

    It holds a new architecture, data set, metric, loss or logger, works and passes every check. Change it step by
    step into your own; docs/plugins.md explains how.

    \b
    ganzoo new mygan
    ganzoo new mydata --kind dataset
    """
    from ganzoo.core.paths import user_path
    from ganzoo.template import values_of, write

    values = values_of(name, kind)
    target = write(name, None if directory is None else user_path(directory), kind)
    for file in sorted(path for path in target.rglob("*") if path.is_file()):
        click.echo(file)
    first, *others = values["use"].splitlines()
    click.echo(f"\nInstall  pip install -e {shell_word(target)}")
    click.echo(f"{'Train' if kind == 'architecture' else 'Use':8} {first}")
    for other in others:
        click.echo(f"         {other}")
    click.echo(f"Check    {values['check']}")
