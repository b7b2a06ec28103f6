"""Kernel distance in the judge's features: an unbiased estimate, fit for few samples."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ganzoo.evaluation.context import Need, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric

SUBSETS = 100
SUBSET_SIZE = 1000


class KID(Metric):
    name = "kid"
    summary = "squared maximum mean discrepancy between the judge's features of samples and real images"
    paper = "Binkowski et al. 2018, arXiv:1801.01401, on other features"
    needs = (Need.IMAGES, Need.LABELS)

    def measure(self, subject: Subject) -> Finding:
        size = min(SUBSET_SIZE, *map(len, subject.pools))
        value, spread = self._distance(subject, subject.samples.features, size)
        real = None if subject.control is None else self._distance(subject, subject.control.features, size)[0]
        protocol = subject.protocol(
            kernel="(x.y / d + 1)^3, unbiased", scale="features by the reference's root mean square",
            subsets=SUBSETS, subset_size=size, **subject.judge.protocol,
        )  # fmt: skip
        return Finding({"kid": Figure(value, "lower", real, spread)}, protocol)

    def _distance(self, subject: Subject, features: Tensor, size: int) -> tuple[float, float]:
        reference = subject.reference.features
        unit = reference.square().mean().sqrt()  # the kernel is not free of scale, and every judge has its own
        return kernel_distance(features / unit, reference / unit, SUBSETS, size, subject.rng(self.name))


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
    """MMD^2 of [N, D] and [N, D] under the cubic kernel, without the terms of a point with itself (may be negative)."""
    n, d = x.shape
    within_x, within_y, between = (_cubed(u @ v.T / d + 1) for u, v in ((x, x), (y, y), (x, y)))
    within = within_x.sum() - within_x.trace() + within_y.sum() - within_y.trace()
    return within / (n * (n - 1)) - 2 * between.mean()


def _cubed(values: Tensor) -> Tensor:
    return values * values * values  # many times as fast as ** 3
