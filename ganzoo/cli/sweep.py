"""`ganzoo sweep NAME`: train with every combination of settings and seeds."""

from __future__ import annotations

import itertools
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ganzoo.cli import completions
from ganzoo.cli.launchers import PLACES, Job, Launch, is_written, launcher
from ganzoo.cli.repeated import Command
from ganzoo.cli.trained import Seeds
from ganzoo.core import config, registry
from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.files import is_locked
from ganzoo.core.paths import user_path

POLL_SECONDS = 0.2
MAX_RUNS = 1000


@dataclass(frozen=True)
class Training:
    """One training of a sweep: the settings it changes, its seed, and its directory."""

    settings: tuple[str, ...]
    seed: int
    path: Path

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.path.with_name(f"{self.path.name}.log")


@click.command(cls=Command, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("architecture", shell_complete=completions.architectures)
@click.option(
    "--set", "grid", multiple=True, metavar="KEY=A,B,...", help="Values of a setting; repeat it: all combinations."
)
@click.option(
    "--seeds",
    type=Seeds(),
    default="0",
    show_default=True,
    metavar="A,B,...",
    help="Seeds of each combination: 0,1,2 or 0-4.",
)
@click.option("--jobs", type=click.IntRange(1, MAX_RUNS), help="Trainings at a time.  [default: 1; on a cluster all]")
@click.option(
    "--on",
    "place",
    type=click.Choice(PLACES),
    default="local",
    show_default=True,
    help="Processes of this machine, jobs of Slurm (SBATCH_PARTITION and the like apply), or tasks of Ray.",
)
@click.option("--out", metavar="DIR", help="Directory of the runs.  [default: runs/sweep-NAME]")
@click.option("--metrics", metavar="A,B,...", help="Evaluate every run with these metrics.  [default: no evaluation]")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.pass_context
def sweep(
    ctx: click.Context, architecture: str, grid: tuple[str, ...], seeds: list[int], jobs: int | None, place: str,
    out: str | None, metrics: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Train with all combinations of settings and seeds.

    Each training is a process of its own, on this machine or a cluster.

    All other options are those of `ganzoo train`. The same command again resumes what was interrupted and skips what is
    complete. The table at the end has the mean and the standard deviation over seeds.

    \b
    ganzoo sweep cgan --dataset mnist --steps 2000 --set generator_lr=1e-4,1e-3 --seeds 0-4 --metrics frechet
    """
    options = [*ctx.args]
    root = user_path(out or f"runs/sweep-{re.sub('[^A-Za-z0-9_.-]+', '-', architecture)}", "a directory")
    trainings = _trainings(grid, seeds, root)
    at_once = jobs or (1 if place == "local" else len(trainings))
    launch = launcher(place, root, at_once)
    _check(architecture, options, trainings[0])
    _check_values(architecture, trainings)
    root.mkdir(parents=True, exist_ok=True)
    failed = _train_all(architecture, options, trainings, launch, at_once, as_json)
    done = [training for training in trainings if training not in failed]
    rows = _rows(done, metrics)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif rows:
        _show(rows)
    if failed:
        raise GanzooError(
            f"{len(failed)} of {len(trainings)} training runs failed; see {failed[0].log}. The same command resumes "
            "them."
        )


def _trainings(grid: Sequence[str], seeds: Sequence[int], root: Path) -> list[Training]:
    """Every combination of the values in `grid`, with every seed. UsageError for text that is no KEY=A,B."""
    axes: dict[str, list[str]] = {}
    for text in grid:
        key, equals, values = text.partition("=")
        if not key or not equals or not all(values.split(",")):
            raise UsageError(f"--set {text}: expected KEY=A,B,...")
        if key in axes:
            raise UsageError(f"--set {key} is given twice. Write all its values in one: --set {key}=A,B,...")
        axes[key] = [f"{key}={value}" for value in values.split(",")]
    combinations = list(itertools.product(*axes.values()))
    if len(combinations) * len(seeds) > MAX_RUNS:
        raise UsageError(
            f"This sweep has {len(combinations) * len(seeds):,} training runs; at most {MAX_RUNS:,} are possible."
        )
    return [
        Training(settings, seed, root / "-".join([*(re.sub(r"[^\w.=+-]+", "_", s) for s in settings), f"seed={seed}"]))
        for settings in combinations
        for seed in dict.fromkeys(seeds)
    ]


def _command(architecture: str, options: Sequence[str], training: Training) -> list[str]:
    chosen = [word for setting in training.settings for word in ("--set", setting)]
    return [sys.executable, "-m", "ganzoo", "train", architecture, *options, *chosen, "--seed", str(training.seed)]


def _check(architecture: str, options: Sequence[str], training: Training) -> None:
    """Refuse what `ganzoo train` would refuse, before anything is trained, with its message."""
    for word in ("--out", "--resume", "--seed", "--nproc"):
        if any(option == word or option.startswith(f"{word}=") for option in options):
            raise UsageError(f"A sweep chooses {word} itself.")
    done = subprocess.run([*_command(architecture, options, training), "--dry-run"], capture_output=True, text=True)
    if done.returncode:
        message = done.stderr.strip().removeprefix("Error: ") or "ganzoo train failed."
        raise (UsageError if done.returncode == 2 else GanzooError)(message)


def _check_values(architecture: str, trainings: Sequence[Training]) -> None:
    """Refuse a value of the wrong type or out of range, of whichever training."""
    known = {setting.name: setting for setting in config.settings(registry.find_architecture(architecture).card.Config)}
    for text in dict.fromkeys(setting for training in trainings for setting in training.settings):
        name, _, value = text.partition("=")
        config.parse(known[name.strip()], value.strip())


def _train_all(
    architecture: str, options: Sequence[str], trainings: Sequence[Training], launch: Launch, jobs: int, quiet: bool
) -> list[Training]:
    """Run all trainings, `jobs` at a time; return those that failed. If interrupted, they write their checkpoints."""
    waiting, failed = list(trainings), []
    running: dict[Job, Training] = {}
    try:
        while waiting or running:
            for training in [*waiting]:
                if len(running) < jobs and not _is_trained(training):
                    waiting.remove(training)
                    running[launch(_words(architecture, options, training), training.log)] = training
            for job, training in list(running.items()):
                code = job.poll()
                if code is None:
                    continue
                del running[job]
                if code:
                    failed.append(training)
                if not quiet:
                    state = "failed" if code else "done"
                    click.echo(f"{training.path}: {state}, {len(waiting) + len(running)} to go")
            time.sleep(POLL_SECONDS)
    finally:
        for job in running:
            job.stop()
        for job in running:
            job.wait()
    return [training for training in trainings if training in failed]


def _is_trained(training: Training) -> bool:
    """Whether a process trains this run: one that outlived a sweep which was killed. It is left to finish."""
    return is_written(training.log) or is_locked(training.path / ".lock")  # it may not have got as far as a run


def _words(architecture: str, options: Sequence[str], training: Training) -> list[str]:
    """The command that begins the training or resumes it."""
    words = _command(architecture, options, training)
    if (training.path / "config.json").exists():
        return [*words[:4], "--resume", str(training.path), *_length(options)]
    return [*words, "--out", str(training.path)]


def _length(options: Sequence[str]) -> list[str]:
    """The options that a resumed training may be given: how long it is."""
    kept = []
    for word, following in itertools.zip_longest(options, options[1:]):
        if word in ("--steps", "--minutes") and following is not None:
            kept += [word, following]
        elif word.startswith(("--steps=", "--minutes=")):
            kept.append(word)
    return kept


def _rows(trainings: Sequence[Training], metrics: str | None) -> list[dict[str, Any]]:
    """For each combination of settings, the mean and the standard deviation of every value over its seeds."""
    from ganzoo.evaluation import evaluate
    from ganzoo.training.run import Run

    values: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for training in trainings:
        run = Run.open(training.path)
        last = run.metrics()[-1:] or [{}]
        own = {name: last[0][name] for name in ("step", "seconds", "diversity") if last[0].get(name) is not None}
        own["alarms"] = len(run.alarms())
        if metrics is not None:
            figures = evaluate(run, metrics=metrics.split(",")).figures
            own |= {name: figure["value"] for name, figure in figures.items()}
        values.setdefault(training.settings, []).append(own)
    return [
        {
            "settings": list(settings),
            "seeds": len(runs),
            "values": {
                name: {
                    "mean": statistics.fmean(run[name] for run in runs if name in run),
                    "spread": statistics.stdev(numbers)
                    if len(numbers := [run[name] for run in runs if name in run]) > 1
                    else 0.0,
                }
                for name in dict.fromkeys(name for run in runs for name in run)
            },
        }
        for settings, runs in values.items()
    ]


def _show(rows: Sequence[dict[str, Any]]) -> None:
    from ganzoo.cli.console import Console, table
    from ganzoo.evaluation.results import format_number

    names = list(dict.fromkeys(name for row in rows for name in row["values"]))
    cells = []
    for row in rows:
        shown = []
        for name in names:
            value = row["values"].get(name)
            spread = f" ± {format_number(value['spread'], 2)}" if value and value["spread"] else ""
            shown.append("" if value is None else format_number(value["mean"]) + spread)
        cells.append([" ".join(row["settings"]) or "defaults", str(row["seeds"]), *shown])
    Console(highlight=False).print(table(("settings", "seeds", *names), cells))
