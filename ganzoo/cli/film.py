"""`ganzoo film RUN`: the sample grids of a training as a film."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ganzoo.cli import completions
from ganzoo.cli.trained import check_target, out_options
from ganzoo.core.errors import GanzooError

if TYPE_CHECKING:
    from torch import Tensor

HOLD = 2.0
"""Seconds for which the last grid stays longer than the others."""


@click.command()
@click.argument("run", shell_complete=completions.runs)
@click.option("--fps", type=click.FloatRange(0, 240, min_open=True), default=8, show_default=True, help="Speed.")
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Show every N-th grid only.")
@out_options("film.gif", "FILE.gif, .apng or .mp4.")
def film(run: str, fps: float, every: int, out: str, overwrite: bool) -> None:
    """Film how the samples of RUN changed during training.

    The frames are the sample grids that `ganzoo train --sample-every N` wrote, always of the same noise.

    \b
    ganzoo film runs/cgan-mnist-001 --out film.mp4
    """
    from ganzoo.cli.console import Console
    from ganzoo.data import film as films
    from ganzoo.training.run import Run

    target = check_target(out, overwrite, films.ENDINGS)
    films.check_possible(target, fps)
    opened = Run.open(run)
    if opened.remote is not None:
        opened.remote.fetch_grids()
    grids = [path for path in sorted(opened.samples.glob("step-*.png")) if path.stem.removeprefix("step-").isdecimal()]
    if not grids:
        raise GanzooError(f"{opened.label} has no sample grids.")
    shown = grids[::-every][::-1]  # the last one is always shown
    steps = [int(path.stem.removeprefix("step-")) for path in shown]
    films.write(
        _frames(shown), target, fps, {"run": click.format_filename(run), "steps": f"{steps[0]}-{steps[-1]}"}, HOLD
    )
    console = Console(highlight=False)
    console.print_line(f"{len(shown):,} sample grids, steps {steps[0]:,} to {steps[-1]:,}, written to {target}")


def _frames(grids: list[Path]) -> Iterator[Tensor]:
    """The grids, captioned with their steps. GanzooError for a file that is no picture, or of another size."""
    from ganzoo.data import imaging

    size = None
    for path in grids:
        picture = imaging.read(path)
        size = size or picture.shape
        if picture.shape != size:
            raise GanzooError(f"{path} has another size than the grids before it.")
        yield imaging.captioned(picture, f"step {int(path.stem.removeprefix('step-')):,}")
