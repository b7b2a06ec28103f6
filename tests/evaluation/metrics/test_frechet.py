from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.fid import _compute_fid

from ganzoo.evaluation.metrics.frechet import frechet_distance


def with_moments(mean: np.ndarray, covariance: np.ndarray, count: int = 500, seed: int = 0) -> torch.Tensor:
    """Points [count, D] with exactly this sample mean and covariance."""
    points = np.random.default_rng(seed).normal(size=(count, len(mean)))
    points -= points.mean(0)
    points = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    return torch.from_numpy(points @ np.linalg.cholesky(covariance).T + mean)


@settings(max_examples=20)
@given(st.floats(-5, 5), st.floats(0.1, 4), st.floats(0.1, 4))
def test_closed_form_of_axis_parallel_gaussians(shift: float, a: float, b: float) -> None:
    """|m|^2 + sum (sigma_a - sigma_b)^2."""
    x = with_moments(np.zeros(3), np.diag([a**2, 1, 4]))
    y = with_moments(np.full(3, shift), np.diag([b**2, 1, 9]), seed=1)
    assert frechet_distance(x, y) == pytest.approx(3 * shift**2 + (a - b) ** 2 + 1, abs=1e-6)


def test_equals_the_square_root_of_matrices_and_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(400, 16)) @ rng.normal(size=(16, 16)))
    y = torch.from_numpy(rng.normal(size=(300, 16)) @ rng.normal(size=(16, 16)) + 1)
    cov_x, cov_y = x.T.cov(), y.T.cov()
    root = scipy.linalg.sqrtm(cov_x.numpy() @ cov_y.numpy()).real
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + np.trace((cov_x + cov_y).numpy() - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected)
    assert frechet_distance(x, y) == pytest.approx(float(_compute_fid(x.mean(0), cov_x, y.mean(0), cov_y)))


def test_equal_points_have_distance_zero_even_with_dead_features() -> None:
    x = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    x[:, 3:] = 0
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
