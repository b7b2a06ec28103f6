"""The metrics, one file each.

To add a metric, add a module here with a subclass of `Metric` and the function that computes it. It is discovered
automatically: there is no list to extend. docs/metrics.md has an example.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Sequence

from ganzoo.core.errors import UsageError, did_you_mean
from ganzoo.evaluation.context import EvaluationContext, Need
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue

__all__ = ["EvaluationContext", "Metric", "MetricResult", "MetricValue", "Need", "all_metrics", "get_metrics"]


@functools.cache
def all_metrics() -> dict[str, Metric]:
    """Return all metrics by name, in alphabetical order."""
    metrics: dict[str, Metric] = {}
    for module in pkgutil.iter_modules(__path__):
        for member in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(member, type) and issubclass(member, Metric) and member is not Metric:
                metrics[member.name] = member()
    return dict(sorted(metrics.items()))


def get_metrics(names: Sequence[str]) -> list[Metric]:
    """Return the metrics with these names. Raises UsageError, with the closest name, if one is unknown."""
    known = all_metrics()
    for name in names:
        if name not in known:
            raise UsageError(f"No metric is called {name!r}. {did_you_mean(name, known)}")
    return [known[name] for name in dict.fromkeys(names)]
