"""`ganzoo plot RUN...`: training curves as a picture."""

from __future__ import annotations

import click

from ganzoo.cli import completions
from ganzoo.cli.trained import check_target, out_options
from ganzoo.core.errors import GanzooError


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, required=True, shell_complete=completions.runs)
@out_options("plot.png", "FILE.png.")
def plot(names: tuple[str, ...], out: str, overwrite: bool) -> None:
    """Draw the training curves of runs.

    Those of a single run are shown with its alarms, those of several runs together.

    \b
    ganzoo plot runs/cgan-mnist-001
    ganzoo plot runs/cgan-mnist-001 runs/cgan-mnist-002 --out two.png
    """
    from ganzoo.cli.console import Console
    from ganzoo.core.text import printable
    from ganzoo.data import imaging
    from ganzoo.evaluation.compare import short_names
    from ganzoo.evaluation.plot import plot as draw
    from ganzoo.training.run import Run

    target = check_target(out, overwrite, (".png",))
    opened = {printable(name): Run.open(path) for name, path in zip(short_names(names), names)}
    picture = draw(opened)
    if picture is None:
        raise GanzooError(
            f"{' and '.join(names)} has no metrics yet: its first row is written after --log-every steps."
        )
    imaging.save(picture, target, {"runs": ", ".join(map(click.format_filename, names))})
    console = Console(highlight=False)
    for name, run in opened.items():
        for alarm in run.alarms():
            console.print_line(f"{name}, step {alarm.step:,}: {alarm.name}. {alarm.evidence}")
    console.print_line(f"Curves written to {target}")
