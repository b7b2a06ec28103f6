"""The contract of a metric: what it is called, which data it is for, and what it hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from ganzoo.evaluation.context import Need, Subject


@dataclass(frozen=True)
class Figure:
    """One number. `better` says which way is good; "real" means the nearer to what real data score the better."""

    value: float
    better: Literal["higher", "lower", "real"]
    real: float | None = None
    """What real data score under the same protocol: the best that can be hoped for."""
    spread: float | None = None
    """Standard deviation over the protocol's own repetitions."""


@dataclass(frozen=True)
class Finding:
    """What a metric hands back. Everything but the pictures is written to evaluation.json."""

    figures: dict[str, Figure]
    protocol: dict[str, Any]
    """What another must know to compare: extractor, counts, splits, resize, parameters. JSON values."""
    details: dict[str, Any] = field(default_factory=dict)
    """More than a table holds, such as a value for every class. JSON values."""
    verdict: str | None = None
    """The finding in words, where a number alone is not plain."""
    pictures: dict[str, Tensor] = field(default_factory=dict)
    """File stem -> uint8 [1 or 3, H, W], written as PNG to the run's folder `evaluation`."""


class Metric:
    """A metric. Subclasses set the class attributes and write `measure`; a module in ganzoo/metrics is found by itself.

    `measure` must depend on nothing but the subject, and draw random numbers from `subject.rng(self.name)` alone, so
    that a figure can be had again.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    needs: ClassVar[tuple[Need, ...]] = (Need.IMAGES,)
    least: ClassVar[int] = 2
    """The smallest number of samples, and of reference images, from which the figure means something."""
    by_default: ClassVar[bool] = True
    """Whether `ganzoo evaluate RUN` measures it without being asked."""

    def measure(self, subject: Subject) -> Finding:
        """The finding for `subject`, to which the metric applies."""
        raise NotImplementedError

    def why_not(self, subject: Subject) -> str | None:
        """Why the metric does not apply to `subject`, in a clause that follows its name; None where it does."""
        missing = [need.value for need in self.needs if need not in subject.has]
        if missing:
            return f"needs {' and '.join(missing)}"
        for pool in (subject.samples, subject.reference):
            if len(pool) < self.least:
                return f"needs at least {self.least:,} {pool.what}, but there are {len(pool):,}"
        return None
