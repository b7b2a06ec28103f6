"""`ganzoo export RUN --to FORMAT`."""

from __future__ import annotations

from typing import Any

import click

from ganzoo.cli import completions
from ganzoo.cli.repeated import Command


@click.command(cls=Command)
@click.argument("run", shell_complete=completions.runs)
@click.option("--to", type=click.Choice(["onnx", "pt2", "html"]), required=True, help="Format of the file.")
@click.option("--out", metavar="FILE", help="File to write.  [default: the run's name and the format]")
@click.option("--uint8", is_flag=True, help="The output is pixels of 0 to 255, instead of floats from -1 to 1.")
@click.option(
    "--runtime", metavar="DIR", help="html: folder with the npm package onnxruntime-web.  [default: npm downloads it]"
)
@click.option("--best", is_flag=True, help="Use the best checkpoint (see train --evaluate-every), not the last.")
def export(run: str, **options: Any) -> None:
    """Write a generator to a file that runs without ganzoo.

    \b
    ganzoo export runs/cgan-mnist-001 --to onnx     for ONNX Runtime and many others
    ganzoo export runs/cgan-mnist-001 --to pt2      for torch.export.load
    ganzoo export runs/cgan-mnist-001 --to html     a page that draws in any browser, without a network

    The file is written only if it agrees with the run to 1e-5 in its own runtime. See docs/export.md.
    """
    from ganzoo.cli.console import Console
    from ganzoo.cli.evaluate import progress
    from ganzoo.exporting import export as write

    console = Console(highlight=False)
    with progress(console) as update:
        exported = write(run, progress=update, **options)
    for kind, values in (("input", exported.inputs), ("output", (exported.output,))):
        for value in values:
            shape = f"[{', '.join(map(str, value.shape))}]"
            console.print_line(f"{kind:<8}{value.name}  {value.dtype} {shape}: {value.meaning}")
    console.print_line(f"{exported.path} written; it differs from the run by at most {exported.difference:.1e}")
