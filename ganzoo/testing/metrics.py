"""Checks of a metric."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganzoo import data
from ganzoo.core import registry
from ganzoo.core.plugin import Config
from ganzoo.core.spec import DataSpec, Split
from ganzoo.data.modality import get_modality
from ganzoo.evaluation.context import EvaluationContext
from ganzoo.evaluation.metric import Metric, MetricResult
from ganzoo.gan import GAN
from ganzoo.testing.fixtures import made_up
from ganzoo.testing.kit import CheckError, rule

if TYPE_CHECKING:
    from ganzoo.data import Data

SAMPLES = 300
SIZE = 16
SPLITS: tuple[Split, Split] = ("train", "test")
MADE_UP = ("audio", "video", "table")
"""Modalities of examples that are made up."""
DIRECTIONS = ("higher", "lower", "real")


class _Generator(nn.Module):
    """Untrained: its samples are noise or, for image-to-image, its inputs."""

    def __init__(self, latent: int, spec: DataSpec):
        super().__init__()
        self.shape = spec.shape
        self.layer = nn.Linear(latent, torch.Size(spec.shape).numel())
        self.paired = bool(spec.given)

    def forward(self, z: Tensor, condition: Any = None) -> Tensor:
        noise: Tensor = self.layer(z).tanh().unflatten(1, self.shape)
        return condition + 0 * noise if self.paired else noise


@dataclass(frozen=True)
class MetricFixture:
    """The metric `metric`, on digits, coarse digits as inputs, points of a known density, and made-up data."""

    metric: Metric

    def contexts(self) -> Iterator[EvaluationContext]:
        """Contexts of GANs without labels, with labels, from image to image, of points, and of `MADE_UP`."""
        for dataset, labels in (("digits", False), ("digits", True), ("mosaic:2:digits", False), ("ring", False)):
            size = SIZE if registry.get_dataset(dataset)[0].kind == "images" else None
            train, test = (data.open(dataset, split=split, image_size=size) for split in SPLITS)
            spec = train.spec
            given = DataSpec(spec.channels, spec.size, spec.classes if labels else 0, spec.inputs, spec.scale)
            yield self._context(given, train, test)
        for modality in MADE_UP:
            given = DataSpec(target=get_modality(modality).example())
            train, test = (made_up(given, split) for split in SPLITS)
            yield self._context(given, train, test)

    def _context(self, spec: DataSpec, train: Data, test: Data) -> EvaluationContext:
        torch.manual_seed(0)
        gan = GAN(_Generator(8, spec), nn.Linear(1, 1), Config(latent_dim=8), spec)
        return EvaluationContext(gan, train, test, max(SAMPLES, self.metric.min_samples))

    @functools.cached_property
    def context(self) -> EvaluationContext:
        """The first context that the metric applies to."""
        reasons = []
        for context in self.contexts():
            reason = self.metric.inapplicable_reason(context)
            if reason is None:
                return context
            reasons.append(reason)
        raise CheckError(f"it applies to none of the examples: it {'; it '.join(dict.fromkeys(reasons))}")

    @functools.cached_property
    def result(self) -> MetricResult:
        return self.metric.measure(self.context)


@rule("write one line for summary and paper.")
def metadata(fixture: MetricFixture) -> None:
    """The metric describes itself."""
    for name in ("summary", "paper"):
        text = getattr(fixture.metric, name)
        if not text.strip() or "\n" in text:
            raise CheckError(f"{name} is {text!r}")


@rule("narrow `needs` to what the metric requires: digits, pairs, points, recordings, clips or tables must do.")
def applies(fixture: MetricFixture) -> None:
    """It applies to some kind of data."""
    fixture.context  # noqa: B018


@rule("return a MetricResult with a MetricValue for every number.")
def values(fixture: MetricFixture) -> None:
    """Its values are finite numbers with a direction, and what is stored with them is JSON."""
    result = fixture.result
    if not isinstance(result, MetricResult) or not result.values:
        raise CheckError(f"measure returns {type(result).__name__} without values")
    for name, value in result.values.items():
        numbers = [value.value] + [n for n in (value.real, value.spread) if n is not None]
        if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
            raise CheckError(f"{name} is {value}", "return Python numbers that are finite.")
        if value.better not in DIRECTIONS:
            raise CheckError(f"better of {name} is {value.better!r}", f"choose one of {', '.join(DIRECTIONS)}.")
        if value.better == "real" and value.real is None:
            raise CheckError(f"{name} is better if closer to that of real data, which is not given", "pass real=....")
    try:
        json.dumps([result.protocol, result.details], allow_nan=False)
    except (TypeError, ValueError) as failure:
        raise CheckError(f"protocol and details cannot be stored: {failure}", "use JSON values.") from failure
    for name, picture in result.pictures.items():
        if picture.dtype != torch.uint8 or picture.dim() != 3 or picture.shape[0] not in (1, 3):
            raise CheckError(
                f"the picture {name} is {picture.dtype} {list(picture.shape)}", "use uint8 [1 or 3, H, W]."
            )


@rule("take random numbers from context.rng(self.name), and depend on the context alone.")
def repeatable(fixture: MetricFixture) -> None:
    """The same context gives the same values; samples and real images stay as they are."""
    context = fixture.context
    before = [torch.from_numpy(images.values).clone() for images in context.sample_sets]
    first = fixture.result
    torch.manual_seed(1)
    again = fixture.metric.measure(context)
    for name, value in first.values.items():
        if name not in again.values or again.values[name] != value:
            raise CheckError(f"measured twice, {name} is {value.value} and then {again.values[name].value}")
    for images, copy in zip(context.sample_sets, before):
        if not torch.equal(torch.from_numpy(images.values), copy):
            raise CheckError(f"it changes the {images.name}", "copy what you change.")
