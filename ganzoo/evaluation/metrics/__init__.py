"""The built-in metrics, one file each, and metrics by name.

A metric is a subclass of `Metric` with an entry point in the group `ganzoo.metrics`; docs/metrics.md has an example.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence
from typing import Any

from ganzoo.core import registry
from ganzoo.core.entry_points import METRICS, choices, shortest_name
from ganzoo.core.errors import PluginError, UsageError
from ganzoo.evaluation.context import EvaluationContext, Need
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue

__all__ = ["EvaluationContext", "Metric", "MetricResult", "MetricValue", "Need", "all_metrics", "get_metrics"]


def all_metrics() -> dict[str, Metric]:
    """Return all metrics by name, in alphabetical order. A broken one is left out, with a warning in the log."""
    metrics: dict[str, Metric] = {}
    for name in choices(METRICS):
        try:
            metrics[name] = _get(name)
        except PluginError as failure:
            logging.getLogger("ganzoo").warning(str(failure).partition("\n")[0])
    return dict(sorted(metrics.items()))


def get_metrics(names: Sequence[str] | str) -> list[Metric]:
    """Return the metrics with these names, or this one, importing no others.

    Raises UsageError, with the closest name, if one is unknown, and PluginError if one is broken.
    """
    chosen = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else [names]
    if not all(isinstance(name, str) for name in chosen):
        raise UsageError(f"Expected the names of metrics, such as ['frechet'], but got {names!r}.")
    return [_get(name) for name in dict.fromkeys(shortest_name(METRICS, name) for name in chosen)]


def as_metric(target: Any) -> Metric:
    """An instance of the class `target`. Raises PluginError if it is not a complete subclass of `Metric`."""
    if not (isinstance(target, type) and issubclass(target, Metric)):
        actual = f"the class {target.__name__}" if isinstance(target, type) else f"a {type(target).__name__}"
        raise PluginError(f"it must be a subclass of ganzoo.evaluation.metrics.Metric, but is {actual}")
    if target.measure is Metric.measure:
        raise PluginError("it does not implement measure")
    for attribute in ("summary", "paper"):
        if not isinstance(getattr(target, attribute, None), str):
            raise PluginError(f"it lacks the text {attribute!r}")
    return target()


def _get(name: str) -> Metric:
    metric: Metric = copy.copy(registry.get(METRICS, name, as_metric).card)
    metric.name = name
    return metric
