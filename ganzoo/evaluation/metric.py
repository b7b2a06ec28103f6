"""The interface of a metric and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from ganzoo.evaluation.context import EvaluationContext, Need


@dataclass(frozen=True)
class MetricValue:
    """One number. `better` is the direction of improvement; "real" means the closer to `real` the better."""

    value: float
    better: Literal["higher", "lower", "real"]
    real: float | None = None
    """The score of real data under the same protocol: the best value to hope for."""
    spread: float | None = None
    """Standard deviation over the repetitions of the protocol."""


@dataclass(frozen=True)
class MetricResult:
    """The result of a metric. Everything except the pictures is written to evaluation.json."""

    values: dict[str, MetricValue]
    protocol: dict[str, Any]
    """Everything needed to compare two values: extractor, counts, splits, resize, parameters. JSON values."""
    details: dict[str, Any] = field(default_factory=dict)
    """Values too long for a table, such as one for every class. JSON values."""
    verdict: str | None = None
    """The result as a sentence, if the numbers need interpretation."""
    pictures: dict[str, Tensor] = field(default_factory=dict)
    """File stem -> uint8 [1 or 3, H, W], written as PNG to the run's folder `evaluation`."""


class Metric:
    """Base class of metrics: subclasses set the class attributes and implement `measure`.

    An entry point in the group `ganzoo.metrics` makes it a metric of `ganzoo evaluate`, under its name. `measure` must
    depend on the context alone and take its random numbers from `context.rng(self.name)`, so that its values are
    reproducible.
    """

    name: str = ""
    """The name of its entry point; users of the registry get an instance that has it."""
    summary: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[tuple[Need, ...]] = (Need.IMAGES,)
    min_samples: ClassVar[int] = 2
    """The smallest number of samples, and of reference images, for which the values are meaningful."""
    default: ClassVar[bool] = True
    """Whether `ganzoo evaluate RUN` measures it without `--metrics`."""
    headline: ClassVar[tuple[str, ...]] = ()
    """Names of the values that `ganzoo evaluate` shows without `--verbose`; default all."""

    def measure(self, context: EvaluationContext) -> MetricResult:
        """Measure `context`, for which the metric must be applicable."""
        raise NotImplementedError

    def inapplicable_reason(self, context: EvaluationContext) -> str | None:
        """Return why the metric does not apply to `context`, as a predicate ("needs ..."), or None if it applies."""
        if Need.LABELS in self.needs and context.why_no_classifier is not None:
            return context.why_no_classifier
        missing = [need.value for need in self.needs if need not in context.has]
        if missing:
            return f"needs {' and '.join(missing)}"
        for sample_set in (context.samples, context.reference):
            if len(sample_set) < self.min_samples:
                return f"needs at least {self.min_samples:,} {sample_set.name}, but there are {len(sample_set):,}"
        return context.why_classifier_is_useless if Need.LABELS in self.needs else None
