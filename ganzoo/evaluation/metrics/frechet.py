"""Frechet distance in the judge's features. Not an FID, which is defined on Inception's features."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from torch import Tensor

from ganzoo.evaluation.context import Need, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric


class Frechet(Metric):
    name = "frechet"
    summary = "distance of Gaussians fitted to the judge's features of samples and real images"
    paper = "Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500, on other features"
    needs = (Need.IMAGES, Need.LABELS)
    least = 256
    """Twice the number of features: fewer images span no Gaussian of so many dimensions."""

    def measure(self, subject: Subject) -> Finding:
        reference = subject.reference.features
        value = frechet_distance(subject.samples.features, reference)
        control = subject.control
        real = None if control is None else frechet_distance(control.features[: len(subject.samples)], reference)
        return Finding({"frechet": Figure(value, "lower", real)}, subject.protocol(**subject.judge.protocol))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 sqrt(C_a C_b)) of features [N, D] and [M, D]."""
    x, y = a.double().cpu().numpy(), b.double().cpu().numpy()
    cov_x, cov_y = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    # the product is similar to a positive semi-definite matrix: its eigenvalues are real, up to rounding
    roots = np.sqrt(np.clip(scipy.linalg.eigvals(cov_x @ cov_y).real, 0, None))
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(cov_x) + np.trace(cov_y) - 2 * roots.sum())
