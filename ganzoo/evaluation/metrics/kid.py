"""Kernel distance in the features of a small classifier: an unbiased estimate, usable with few samples."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ganzoo.evaluation.context import EvaluationContext, Need
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue

SUBSETS = 100
SUBSET_SIZE = 1000


class KID(Metric):
    name = "kid"
    summary = "squared maximum mean discrepancy between the classifier's features of samples and of real images"
    paper = "Binkowski et al. 2018, arXiv:1801.01401, on other features"
    needs = (Need.IMAGES, Need.LABELS)

    def measure(self, context: EvaluationContext) -> MetricResult:
        size = min(SUBSET_SIZE, *map(len, context.sample_sets))
        distance, spread = self._distance(context, context.samples.features, size)
        real = None if context.control is None else self._distance(context, context.control.features, size)[0]
        protocol = context.protocol(
            kernel="(x.y / d + 1)^3, unbiased", scale="features by the reference's root mean square",
            subsets=SUBSETS, subset_size=size, **context.feature_extractor.protocol,
        )  # fmt: skip
        return MetricResult({"kid": MetricValue(distance, "lower", real, spread)}, protocol)

    def _distance(self, context: EvaluationContext, features: Tensor, size: int) -> tuple[float, float]:
        reference = context.reference.features
        unit = reference.square().mean().sqrt()  # the kernel depends on scale, which differs between classifiers
        return kernel_distance(features / unit, reference / unit, SUBSETS, size, context.rng(self.name))


def kernel_distance(
    a: Tensor, b: Tensor, subsets: int, subset_size: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Mean and standard deviation over random subsets of the unbiased MMD^2 of features [N, D] and [M, D]."""
    values = []
    for _ in range(subsets):
        x = a[rng.choice(len(a), subset_size, replace=False)].double()
        y = b[rng.choice(len(b), subset_size, replace=False)].double()
        values.append(float(unbiased_mmd(x, y)))
    return float(np.mean(values)), float(np.std(values))


def unbiased_mmd(x: Tensor, y: Tensor) -> Tensor:
    """MMD^2 of [N, D] and [N, D] with the cubic kernel, without the diagonal terms; it may be negative."""
    n, d = x.shape
    within_x, within_y, between = (_cubed(u @ v.T / d + 1) for u, v in ((x, x), (y, y), (x, y)))
    within = within_x.sum() - within_x.trace() + within_y.sum() - within_y.trace()
    return within / (n * (n - 1)) - 2 * between.mean()


def _cubed(values: Tensor) -> Tensor:
    return values * values * values  # much faster than ** 3
