"""`ganzoo evaluate RUN`: measure the quality of a trained GAN."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli import completions
from ganzoo.cli.repeated import Command
from ganzoo.core.entry_points import DATASETS, choices
from ganzoo.core.errors import UsageError
from ganzoo.core.text import printable

if TYPE_CHECKING:
    from ganzoo.cli.console import Console
    from ganzoo.evaluation.results import Evaluation
    from ganzoo.training.run import Run


LINE_SECONDS = 5.0


@click.command(cls=Command)
@click.argument("run", shell_complete=completions.runs)
@click.option(
    "--against", metavar="DATA",
    help="RUN is samples, not a run: folder:PATH, FILE.npz, FILE.onnx or a data set; compare them with DATA.",
)  # fmt: skip
@click.option("--metrics", metavar="A,B,...", help="Measure only these metrics.  [default: all that apply]")
@click.option("--samples", type=click.IntRange(min=1), help="Number of samples to draw.  [default: 10000]")
@click.option(
    "--seed", type=click.IntRange(0, (1 << 32) - 1), default=0, show_default=True, help="Random seed for the samples.",
)  # fmt: skip
@click.option(
    "--reference", type=click.Choice(["test", "train"]),
    help="Split of the real images to compare with.  [default: test, if there is one]",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", shell_complete=completions.sampling,
    help="Change a sampling setting of the architecture, as in ganzoo sample; repeat for several.",
)  # fmt: skip
@click.option("--best", is_flag=True, help="Use the best checkpoint, by train --evaluate-every, instead of the newest.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="[default: auto]")
@click.option("--data-dir", metavar="DIR", help="Directory that already contains the data files (or GANZOO_DATA).")
@click.option("--dataset", metavar="NAME", help="The run's data set where it is now, if its files have moved.")
@click.option("--verbose", is_flag=True, help="Show all values, their protocols, and the metrics that do not apply.")
@click.option("--json", "as_json", is_flag=True, help="Print the complete results as one JSON object.")
def evaluate(
    run: str, against: str | None, metrics: str | None, samples: int | None, verbose: bool, as_json: bool,
    overrides: tuple[str, ...], **options: Any,
) -> None:  # fmt: skip
    """Measure the newest checkpoint of the run directory RUN.

    \b
    ganzoo evaluate runs/cgan-mnist-001
    ganzoo evaluate runs/cgan-mnist-001 --metrics frechet,swd --samples 16384 --reference train

    \b
    ganzoo evaluate folder:samples --against folder:photos
    ganzoo evaluate samples.npz --against mnist
    ganzoo evaluate generator.onnx --against mnist

    The results of a run are stored in its evaluation.json; `ganzoo compare` shows runs side by side. docs/metrics.md
    explains every metric.
    """
    from ganzoo.cli.console import Console
    from ganzoo.cli.overrides import key_values
    from ganzoo.evaluation import evaluate as measure
    from ganzoo.evaluation.measure import SAMPLES
    from ganzoo.evaluation.samples import evaluate_samples
    from ganzoo.training.run import Run

    console = Console(stderr=as_json, highlight=False)
    names = None if metrics is None else [name for name in metrics.replace(" ", "").split(",") if name]
    if names == []:
        raise click.UsageError("--metrics names no metric.")
    if against is None and not Path(run).is_dir() and _names_samples(run):
        raise UsageError(f"{run} is no run. To measure samples, say what to compare them with: --against DATA.")
    count = samples or SAMPLES
    opened = None if against else Run.open(run)
    with progress(console) as update:
        if opened is not None:
            result = measure(
                opened, metrics=names, samples=count, progress=update, sampling=key_values(overrides), **options
            )
        else:
            assert against is not None
            if options.pop("best") or options.pop("dataset") or overrides:
                raise click.UsageError("--best, --dataset and --set are of a run, and with --against there is none.")
            result = evaluate_samples(run, against, metrics=names, count=count, progress=update, **options)
    if as_json:
        return click.echo(json.dumps(dataclasses.asdict(result), indent=2))
    show(opened, result, console, verbose)


def _names_samples(word: str) -> bool:
    """Whether `word` is written like samples: a data set, or a file of arrays or of a generator."""
    return word.endswith((".npz", ".onnx")) or word.partition(":")[0] in choices(DATASETS)


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Yield a callback that shows the current step: in place on a terminal, else in lines on stderr."""
    if not console.is_terminal:
        yield _Lines()
        return
    with console.status("") as status:
        yield status.update


class _Lines:
    """Writes a line to stderr for every new step, and every LINE_SECONDS for one that goes on."""

    def __init__(self) -> None:
        self.step = ""
        self.written = 0.0

    def __call__(self, text: str) -> None:
        step, now = text.partition(":")[0], time.monotonic()
        if step != self.step or now - self.written >= LINE_SECONDS:
            self.step, self.written = step, now
            click.echo(printable(text), err=True)


def show(run: Run | None, result: Evaluation, console: Console, verbose: bool) -> None:
    """Print the values, the verdict and the paths of pictures; with `verbose` also what --verbose lists."""
    from ganzoo.cli.console import escape, table
    from ganzoo.evaluation.results import BETTER, format_number, protocol_lines

    console.print_line(f"{result.run}, {result.checkpoint}")
    values = result.figures if verbose else _headlines(result)
    rows = []
    for name, value in values.items():
        spread = f" ± {format_number(value['spread'], 2)}" if verbose and "spread" in value else ""
        number, real = format_number(value["value"]), format_number(value.get("real"))
        rows.append((name, number + spread, real, BETTER[value["better"]]))
    if rows:
        console.print(table(("metric", "value", "real data", "better"), rows))
    else:
        console.print_prose("No metric applies." if verbose else "No metric applies; --verbose says why.")
    console.print()
    if verbose:
        for line in protocol_lines(result):
            console.print_prose(escape(line))
        for name, reason in result.skipped.items():
            console.print_prose(f"[dim]{name} does not apply: it {escape(reason)}.[/]")
        console.print()
    if result.verdicts:
        console.print_prose(escape(" ".join(result.verdicts)))
    for picture in (path for entry in result.findings.values() for path in entry.get("pictures", [])):
        assert run is not None, "pictures are written to a run"
        console.print_line(f"Picture  {run.results().path / picture}")
    if rows and not verbose:
        console.print_prose("[dim]docs/metrics.md explains the metrics; --verbose shows how they were measured.[/]")


def _headlines(result: Evaluation) -> dict[str, dict[str, Any]]:
    """The values that the metrics declare as their headline."""
    from ganzoo.evaluation.metrics import get_metrics

    values: dict[str, dict[str, Any]] = {}
    for metric in get_metrics(list(result.findings)):
        figures = result.findings[metric.name]["figures"]
        values |= {name: figure for name, figure in figures.items() if name in (metric.headline or figures)}
    return values
