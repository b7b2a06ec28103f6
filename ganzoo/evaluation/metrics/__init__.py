"""What can be measured of a GAN: one file a metric.

To add one, put a file here with a subclass of `Metric` and the plain function it is computed by; it is found by itself.
See ganzoo.evaluation for what a metric is shown (`Subject`) and where its finding goes.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Sequence

from ganzoo.core.errors import UsageError, did_you_mean
from ganzoo.evaluation.context import Need
from ganzoo.evaluation.metric import Figure, Finding, Metric

__all__ = ["Figure", "Finding", "Metric", "Need", "metrics", "named"]


@functools.cache
def metrics() -> dict[str, Metric]:
    """Every metric by its name, in alphabetical order."""
    found: dict[str, Metric] = {}
    for module in pkgutil.iter_modules(__path__):
        for kind in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, Metric) and kind is not Metric:
                found[kind.name] = kind()
    return dict(sorted(found.items()))


def get_metrics(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names; UsageError with the nearest name where one is unknown."""
    known = metrics()
    for name in names:
        if name not in known:
            raise UsageError(f"No metric is called {name!r}. {did_you_mean(name, known)}")
    return [known[name] for name in dict.fromkeys(names)]


named = get_metrics
