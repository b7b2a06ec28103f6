"""The best checkpoint of a training, by a metric, kept besides the last."""

from __future__ import annotations

import time
from typing import Any

from ganzoo.core import distributed
from ganzoo.core.errors import UsageError
from ganzoo.evaluation.context import Subject
from ganzoo.evaluation.measure import splits
from ganzoo.evaluation.metrics import Figure, Metric, named
from ganzoo.gan import evaluating
from ganzoo.training import checkpoint
from ganzoo.training.callbacks import Callback, Training

SAMPLES = 5000
KEEP = 2
"""Two bests are kept: a resume from before the newer one still has the other."""
USUAL = ("psnr", "frechet", "optimal_discriminator", "swd")
"""Without a choice, the first of these that applies."""


class BestCheckpoint(Callback):
    """Evaluates the training every `every` steps by `metric`, and keeps a checkpoint if it is the best so far.

    Results are compared by the metric's first value, and by the next one if it is equal. Rank 0 measures and decides;
    the others wait for it.
    """

    every_rank = True

    def __init__(self, every: int, metric: str | None = None):
        self.every = every
        self.metric_name = metric

    def on_start(self, training: Training) -> None:
        self.training = training
        self.run, self.state = training.run, training.state
        distributed.on_rank0(lambda: self._prepare(self.metric_name))

    def on_step(self, step: int, seconds: float) -> None:
        """Add a row to evaluations.jsonl and, if it is the best so far, a checkpoint to the run's folder `best`."""
        if step % self.every:
            return
        began = time.monotonic()
        row = distributed.on_rank0(self._measure)
        if row["best"]:
            self.state.save(self.run.best)
        if distributed.rank() == 0:
            checkpoint.prune(self.run.best, KEEP)
            row |= {"seconds": round(time.monotonic() - began, 2)}
            self.run.add_evaluation(row)
            self.training.callbacks.on_evaluation(row)

    def _prepare(self, metric: str | None) -> None:
        train, test = splits(self.run)
        self.subject = Subject(self.state.gan, train, test, SAMPLES, data_dir=self.run.config["data_dir"])
        self.metric = self._chosen(metric)
        before = [tuple(line["rank"]) for line in self.run.evaluations() if line["metric"] == self.metric.name]
        self.best = max(before, default=None)

    def _measure(self) -> dict[str, Any]:
        with self.state.average(), evaluating(self.state.gan):
            figures = self.metric.measure(self.subject.afresh()).figures
        rank = ranking(figures)
        better = self.best is None or rank > self.best
        if better:
            self.best = rank
        line = {"step": self.state.step, "metric": self.metric.name, "best": better, "rank": rank}
        return line | {name: figure.value for name, figure in figures.items()}

    def _chosen(self, name: str | None) -> Metric:
        chosen = named(USUAL if name is None else [name])
        refusals = {metric.name: metric.why_not(self.subject) for metric in chosen}
        for metric in chosen:
            if refusals[metric.name] is None:
                return metric
        why = "; ".join(f"{name} {why}" for name, why in refusals.items())
        raise UsageError(f"--evaluate-every has no metric to go by: {why}.")


def ranking(figures: dict[str, Figure]) -> tuple[float, ...]:
    """Figures as a tuple that is greater the better they are."""
    return tuple(_goodness(figure) for figure in figures.values())


def _goodness(figure: Figure) -> float:
    if figure.better == "real":
        return -abs(figure.value - (figure.real or 0.0))
    return figure.value if figure.better == "higher" else -figure.value
