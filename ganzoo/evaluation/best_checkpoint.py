"""The best checkpoint of a training run, by a metric, kept in addition to the newest."""

from __future__ import annotations

import math
import time
from typing import Any

from ganzoo.core import distributed
from ganzoo.core.errors import UsageError
from ganzoo.evaluation.context import EvaluationContext
from ganzoo.evaluation.measure import load_splits
from ganzoo.evaluation.metrics import Metric, MetricValue, get_metrics
from ganzoo.gan import evaluating
from ganzoo.training import checkpoint
from ganzoo.training.callbacks import Callback, Training

SAMPLES = 5000
KEEP = 2
"""A resume from before the best checkpoint still has the second best."""
PREFERRED_METRICS = ("psnr", "frechet", "optimal_discriminator", "swd")
"""Without a metric in the config, the first of these that applies."""


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
        train, test = load_splits(self.run)
        gan, data_dir = self.state.gan, self.run.config["data_dir"]
        self.context = EvaluationContext(gan, train, test, SAMPLES, data_dir=data_dir)
        self.metric = self._choose(metric)
        earlier = [tuple(line["rank"]) for line in self.run.evaluations() if line["metric"] == self.metric.name]
        self.best = max(earlier, default=None)

    def _measure(self) -> dict[str, Any]:
        with self.state.average(), evaluating(self.state.gan):
            values = self.metric.measure(self.context.resample()).values
        rank = ranking(values)
        better = self.best is None or rank > self.best
        if better:
            self.best = rank
        line = {"step": self.state.step, "metric": self.metric.name, "best": better, "rank": rank}
        return line | {name: value.value for name, value in values.items()}

    def _choose(self, name: str | None) -> Metric:
        candidates = get_metrics(PREFERRED_METRICS if name is None else [name])
        reasons = {metric.name: metric.inapplicable_reason(self.context) for metric in candidates}
        for metric in candidates:
            if reasons[metric.name] is None:
                return metric
        explanation = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
        raise UsageError(f"--evaluate-every has no applicable metric: {explanation}.")


def ranking(values: dict[str, MetricValue]) -> tuple[float, ...]:
    """Return the values as a tuple that is greater the better they are; NaN is the worst."""
    return tuple(_score(value) for value in values.values())


def _score(value: MetricValue) -> float:
    if math.isnan(value.value):
        return -math.inf
    if value.better == "real":
        return -abs(value.value - (value.real or 0.0))
    return value.value if value.better == "higher" else -value.value
