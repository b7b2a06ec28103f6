"""`ganzoo pack RUN --name NAME`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ganzoo.cli import completions
from ganzoo.cli.repeated import Command
from ganzoo.core.paths import shell_word


@click.command(cls=Command)
@click.argument("run", shell_complete=completions.runs)
@click.option("--name", required=True, metavar="NAME", help="What users type: ganzoo sample NAME.")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Directory to write to.  [default: ./ganzoo-NAME]"
)
@click.option("--metrics", metavar="A,B,...", help="Measure only these metrics.  [default: all that apply]")
@click.option("--samples", type=click.IntRange(min=1), help="Number of samples to evaluate.  [default: 10000]")
@click.option("--best", is_flag=True, help="Pack the best checkpoint (see train --evaluate-every), not the last.")
@click.option("--data-dir", metavar="DIR", help="Directory that already contains the data files (or GANZOO_DATA).")
def pack(run: str, name: str, metrics: str | None, **options: Any) -> None:
    """Write an installable package with a trained model.

    \b
    ganzoo pack runs/cgan-mnist-001 --name cgan-mnist
    pip install ./ganzoo-cgan-mnist
    ganzoo sample cgan-mnist --label 3

    The package holds the weights, and a card with the data and their licence, the command that trains the model again,
    and figures measured on the packed weights. It contains no code.
    """
    from ganzoo.cli.console import Console
    from ganzoo.cli.evaluate import progress
    from ganzoo.models import pack as write

    console = Console(highlight=False)
    names = None if metrics is None else [word for word in metrics.replace(" ", "").split(",") if word]
    with progress(console) as update:
        target = write(run, name, metrics=names, progress=update, **options)
    for file in sorted(path for path in target.rglob("*") if path.is_file()):
        console.print_line(f"{file}  {file.stat().st_size:,} bytes")
    path = os.path.join(".", target)  # without a slash pip would look for a package of this name on its index
    console.print_line(f"\nInstall  pip install {shell_word(path)}")
    console.print_line(f"Sample   ganzoo sample {name}")
