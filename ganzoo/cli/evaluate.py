"""`ganzoo evaluate RUN`: what a trained GAN has learnt."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli import completions

if TYPE_CHECKING:
    from ganzoo.cli.console import Console
    from ganzoo.evaluation.results import Evaluation
    from ganzoo.training.run import Run


@click.command()
@click.argument("run", shell_complete=completions.runs)
@click.option("--metrics", metavar="A,B,...", help="Only these.  [default: all that apply]")
@click.option("--samples", type=click.IntRange(min=1), help="How many images to draw.  [default: 10000]")
@click.option("--seed", type=click.IntRange(0, (1 << 32) - 1), default=0, show_default=True, help="Of the samples.")
@click.option(
    "--reference", type=click.Choice(["test", "train"]),
    help="Real images to compare with.  [default: test, where there are any]",
)  # fmt: skip
@click.option("--best", is_flag=True, help="The best checkpoint, by train --evaluate-every, not the newest.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="[default: auto]")
@click.option("--data-dir", metavar="DIR", help="Where data files already are (or GANZOO_DATA).")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
def evaluate(run: str, metrics: str | None, samples: int | None, as_json: bool, **options: Any) -> None:
    """Measure the newest checkpoint of the run directory RUN.

    \b
    ganzoo evaluate runs/cgan-mnist-001
    ganzoo evaluate runs/cgan-mnist-001 --metrics frechet,swd --samples 16384 --reference train

    The findings are kept in the run's evaluation.json, each with its protocol; `ganzoo compare` puts runs side by side.
    """
    from ganzoo.cli.console import Console
    from ganzoo.evaluation import evaluate as measure
    from ganzoo.evaluation.measure import SAMPLES
    from ganzoo.training.run import Run

    console = Console(stderr=as_json, highlight=False)
    names = None if metrics is None else [name for name in metrics.replace(" ", "").split(",") if name]
    if names == []:
        raise click.UsageError("--metrics names no metric.")
    opened = Run.open(run)
    with progress(console) as tell:
        result = measure(opened, metrics=names, samples=samples or SAMPLES, progress=tell, **options)
    if as_json:
        return click.echo(json.dumps(dataclasses.asdict(result), indent=2))
    show(opened, result, console)


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Callable[[str], None] | None]:
    """Shows on a terminal, while it lasts, what is being done."""
    if not console.is_terminal:
        yield None
        return
    with console.status("") as status:
        yield status.update


def show(run: Run, result: Evaluation, console: Console) -> None:
    """Figures, the protocols they share, verdicts, and what was skipped and why."""
    from ganzoo.cli.console import escape, table
    from ganzoo.evaluation.results import BETTER, number, protocol_lines

    rows = [
        (name, number(f["value"]), number(f.get("spread"), 2), number(f.get("real")), BETTER[f["better"]])
        for name, f in result.figures.items()
    ]
    console.print(table((f"{result.run}, {result.checkpoint}", "value", "+-", "real data", "better"), rows))
    console.print()
    for line in protocol_lines(result):
        console.say(escape(line))
    for finding in result.findings.values():
        if "verdict" in finding:
            console.say(escape(finding["verdict"]))
    for name, why in result.skipped.items():
        console.say(f"[dim]{name} does not apply: it {escape(why)}.[/]")
    for picture in (path for finding in result.findings.values() for path in finding.get("pictures", [])):
        console.tell(f"Picture  {run.path / picture}")
