"""Frechet distance in the features of a small classifier. It is not FID, which is defined on Inception's features."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ganzoo.evaluation.context import EvaluationContext, Need
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue


class Frechet(Metric):
    name = "frechet"
    summary = "Frechet distance between Gaussians fitted to the classifier's features of samples and of real images"
    paper = "Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500, on other features"
    needs = (Need.IMAGES, Need.LABELS)
    min_samples = 256
    """Twice the number of features, for a covariance matrix of full rank."""

    def measure(self, context: EvaluationContext) -> MetricResult:
        reference, control = context.reference.features, context.control
        distance = frechet_distance(context.samples.features, reference)
        real = None if control is None else frechet_distance(control.features[: len(context.samples)], reference)
        value = MetricValue(distance, "lower", real)
        return MetricResult({"frechet": value}, context.protocol(**context.feature_extractor.protocol))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 sqrt(C_a C_b)) of features [N, D] and [M, D]."""
    import scipy.linalg  # not above: most commands that import the metrics compute no distance

    x, y = a.double().cpu().numpy(), b.double().cpu().numpy()
    cov_x, cov_y = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    # the product is similar to a positive semi-definite matrix, so its eigenvalues are real up to rounding
    roots = np.sqrt(np.clip(scipy.linalg.eigvals(cov_x @ cov_y).real, 0, None))
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * roots.sum())
