"""The runs behind a table: missing runs are trained, interrupted ones resumed, finished ones reused."""

from __future__ import annotations

import csv
import math
import signal
import time
from pathlib import Path
from typing import Any

import torch

import ganzoo
from ganzoo.data import imaging
from ganzoo.evaluation import evaluate
from ganzoo.evaluation.results import Evaluation, read
from ganzoo.training.callbacks import Callback, WarningLog
from ganzoo.training.run import CONFIG, Run

NO_END = 1_000_000_000
"""Steps of a training that something else ends."""


def trained(path: Path, architecture: str, **options: Any) -> Run:
    """Return the run at `path`, trained for its number of steps; `options` are those of `ganzoo.train`."""
    if not (path / CONFIG).exists():
        return ganzoo.train(architecture, out=path, **options)
    run = Run.open(path)
    lines = run.metrics()
    step = lines[-1]["step"] if lines else 0
    return run if step == run.config["schedule"]["steps"] else ganzoo.train(resume=path)


def trained_for(path: Path, seconds: float, architecture: str, **options: Any) -> Run:
    """Return the run at `path`, trained until this process has spent so much processor time on its steps.

    Beside the run, PATH.csv has steps and processor seconds, across resumes; `processor_seconds` reads it.
    """
    budget = Budget(path, seconds)
    begin: dict[str, Any] = {"architecture": architecture, "out": path, **options}
    if (path / CONFIG).exists():
        run = Run.open(path)
        lines = run.metrics()
        if lines and processor_seconds(path, lines[-1]["step"]) >= seconds:
            return run
        begin = {"resume": path}
    try:
        ganzoo.train(**begin, steps=NO_END, callbacks=[budget, WarningLog()])
    except KeyboardInterrupt:
        if not budget.reached:
            raise
    return Run.open(path)


def timed(path: Path, architecture: str, *, steps: int, **options: Any) -> Run:
    """As `trained`, but a shorter run is continued; `processor_seconds` then knows what the steps took."""
    if (path / CONFIG).exists():
        run = Run.open(path)
        done = run.metrics()[-1]["step"] if run.metrics() else 0
        if done > steps:
            raise SystemExit(f"{path} has {done} steps already. Delete it to measure after {steps}.")
        callbacks = [Budget(path), WarningLog()]
        return run if done == steps else ganzoo.train(resume=path, steps=steps, callbacks=callbacks)
    return ganzoo.train(architecture, out=path, steps=steps, callbacks=[Budget(path), WarningLog()], **options)


def processor_seconds(path: Path, step: int = NO_END) -> float:
    """The processor seconds that the run at `path` took up to `step`, as the CSV file beside it has them."""
    file = Path(f"{path}.csv")
    if not file.exists():
        return 0.0
    with file.open(newline="") as lines:
        return max((float(seconds) for at, seconds in csv.reader(lines) if int(at) <= step), default=0.0)


class Budget(Callback):
    """Writes down the processor time of a training, and ends it after so many seconds as Ctrl-C would."""

    def __init__(self, path: Path, seconds: float = math.inf):
        self.path, self.limit = path, seconds
        self.reached = False

    def on_start(self, training: Any) -> None:
        self.before = processor_seconds(self.path, training.state.step)
        self.start = time.process_time()

    def on_step(self, step: int, seconds: float) -> None:
        spent = self.before + time.process_time() - self.start
        ends = spent >= self.limit and not self.reached
        if ends:
            self.reached = True
            signal.raise_signal(signal.SIGINT)
        if ends or step % 50 == 0:
            with Path(f"{self.path}.csv").open("a", newline="") as file:
                csv.writer(file).writerow([step, f"{spent:.1f}"])


def evaluated(run: Run, metrics: list[str], samples: int = 10_000) -> Evaluation:
    """Return the results of these metrics for the run's newest checkpoint, measured unless they are there."""
    return known(run, metrics, samples) or evaluate(run, metrics=metrics, samples=samples)


def known(run: Run, metrics: list[str], samples: int) -> Evaluation | None:
    """Return the run's results if they are those of these metrics, of its newest checkpoint and of so many samples."""
    evaluation = read(run)
    if evaluation is None or evaluation.checkpoint != run.newest_checkpoint_name():
        return None
    drawn = {evaluation.findings[name]["protocol"].get("samples") for name in metrics if name in evaluation.findings}
    complete = set(metrics) <= {*evaluation.findings, *evaluation.skipped}
    return evaluation if complete and samples in drawn else None


def by_class(run: Run) -> torch.Tensor:
    """The first ten samples of every class, a row each: uint8 [C, H, W]."""
    gan = ganzoo.load(run)
    labels = torch.arange(gan.classes).repeat_interleave(10)
    return imaging.grid(gan.sample(len(labels), labels, seed=0), 10)


def figures(run: Run, metric: str, samples: int) -> dict[str, float]:
    """Return the values of `metric`, measured with `samples` samples, and the training time in minutes."""
    values = ganzoo.evaluate(run, metrics=[metric], samples=samples).figures
    return {name: value["value"] for name, value in values.items()} | {"minutes": run.metrics()[-1]["seconds"] / 60}
