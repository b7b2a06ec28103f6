"""Point data sets and mixtures of Gaussians."""

from __future__ import annotations

import numpy as np
import pytest
from ganzoo_plugins.datasets.mixtures import Grid, Ring
from scipy import integrate, stats

from ganzoo import data
from ganzoo.core.errors import DataError, UsageError
from ganzoo.data import PointData
from ganzoo.data.points import Mixture

WIDE = Mixture(np.array([[0.0, 1.0], [-1.0, 0.0], [2.0, 2.0]]), 0.7)


@pytest.mark.parametrize(("name", "modes", "sigma", "reach"), [("ring", 8, 0.01, 1.0), ("grid", 25, 0.05, 4.0)])
def test_the_published_mixtures(name: str, modes: int, sigma: float, reach: float) -> None:
    train, test = data.open(name), data.open(name, split="test")
    assert isinstance(train, PointData)
    assert isinstance(test, PointData)
    assert (len(train), len(test)) == (100_000, 10_000)
    assert train.spec.shape == (2,)
    assert train.spec.kind == "points"
    assert train.spec.classes == modes
    assert reach < train.spec.scale < reach + 6 * sigma
    assert train.sha256 == data.open(name).sha256 != test.sha256
    assert train.mixture is not None
    assert train.mixture.sigma == sigma
    assert train.labels is not None
    for mode, mean in enumerate(train.mixture.means):
        cloud = train.points[train.labels == mode]
        assert abs(len(cloud) - 100_000 / modes) < 5 * (100_000 / modes) ** 0.5
        np.testing.assert_allclose(cloud.mean(axis=0), mean, atol=5 * sigma / len(cloud) ** 0.5)
        np.testing.assert_allclose(cloud.std(axis=0), sigma, rtol=0.06)


def test_means_of_ring_and_grid() -> None:
    np.testing.assert_allclose(np.linalg.norm(Ring().mixture().means, axis=1), 1)
    assert {tuple(mean) for mean in Grid().mixture().means} == {
        (x, y) for x in (-4.0, -2.0, 0.0, 2.0, 4.0) for y in (-4.0, -2.0, 0.0, 2.0, 4.0)
    }


def test_density_is_that_of_the_gaussians_and_integrates_to_one() -> None:
    points = np.random.default_rng(0).normal(size=(50, 2)) * 2
    expected = np.mean([stats.multivariate_normal(mean, WIDE.sigma**2).pdf(points) for mean in WIDE.means], axis=0)
    np.testing.assert_allclose(WIDE.density(points), expected)
    axis = np.linspace(-7, 9, 400)
    values = WIDE.density(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)).reshape(400, 400)
    assert integrate.simpson(integrate.simpson(values, x=axis), x=axis) == pytest.approx(1)


@pytest.mark.parametrize(
    "points",
    [np.zeros((4, 2), np.float32), np.ones((4, 1), np.float32), np.ones((4, 2)), np.full((4, 2), np.nan, np.float32)],
    ids=["all zero", "one number", "float64", "nan"],
)
def test_invalid_arrays_are_refused(points: np.ndarray) -> None:
    with pytest.raises(DataError, match="mine: "):
        PointData(points, None, (), "mine", "train", "0" * 64)


def test_points_have_no_image_size() -> None:
    with pytest.raises(UsageError, match="ring has points, not images: image_size does not apply"):
        data.open("ring", image_size=8)
