"""The runs behind a table: missing runs are trained, interrupted ones resumed, finished ones reused."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path
from typing import Any

import ganzoo
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


def trained_for(path: Path, processor_seconds: float, architecture: str, **options: Any) -> Run:
    """Return the run at `path`, trained until this process has spent so much processor time on its steps.

    Beside the run, PATH.csv has the step and the seconds after every 50 steps, across resumes.
    """
    budget = Budget(path.with_suffix(".csv"), processor_seconds)
    if (path / CONFIG).exists() and budget.spent(Run.open(path).metrics()[-1]["step"]) >= processor_seconds:
        return Run.open(path)
    begin = {"resume": path} if (path / CONFIG).exists() else {"architecture": architecture, "out": path, **options}
    try:
        ganzoo.train(**begin, steps=NO_END, callbacks=[budget, WarningLog()])
    except KeyboardInterrupt:
        if not budget.reached:
            raise
    return Run.open(path)


class Budget(Callback):
    """Ends a training, as Ctrl-C would, after a number of processor seconds, which a CSV file keeps."""

    def __init__(self, file: Path, seconds: float):
        self.file, self.limit = file, seconds
        self.reached = False

    def spent(self, step: int) -> float:
        """The processor seconds up to `step`, as the file has them."""
        if not self.file.exists():
            return 0.0
        with self.file.open(newline="") as file:
            return max((float(seconds) for at, seconds in csv.reader(file) if int(at) <= step), default=0.0)

    def on_start(self, training: Any) -> None:
        self.before = self.spent(training.state.step)
        self.start = time.process_time()

    def on_step(self, step: int, seconds: float) -> None:
        spent = self.before + time.process_time() - self.start
        ends = spent >= self.limit and not self.reached
        if ends:
            self.reached = True
            signal.raise_signal(signal.SIGINT)
        if ends or step % 50 == 0:
            with self.file.open("a", newline="") as file:
                csv.writer(file).writerow([step, f"{spent:.1f}"])


def evaluated(run: Run, metrics: list[str], samples: int = 10_000) -> Evaluation:
    """Return the run's results of these metrics, measured unless they are there."""
    evaluation = read(run)
    known = evaluation is not None and set(metrics) <= {*evaluation.findings, *evaluation.skipped}
    return evaluation if known and evaluation is not None else evaluate(run, metrics=metrics, samples=samples)


def figures(run: Run, metric: str, samples: int) -> dict[str, float]:
    """Return the values of `metric`, measured with `samples` samples, and the training time in minutes."""
    values = ganzoo.evaluate(run, metrics=[metric], samples=samples).figures
    return {name: value["value"] for name, value in values.items()} | {"minutes": run.metrics()[-1]["seconds"] / 60}
