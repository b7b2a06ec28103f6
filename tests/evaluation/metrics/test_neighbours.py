from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from ganzoo.evaluation.metrics import neighbours
from ganzoo.evaluation.metrics.neighbours import nearest, radii


@pytest.fixture
def points() -> torch.Tensor:
    return torch.randn(300, 12, generator=torch.Generator().manual_seed(0)) + 100  # far from the origin


def test_nearest_equals_scikit_learn_in_any_chunks(points: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = points[:50] + 0.3
    expected, which = NearestNeighbors(n_neighbors=4).fit(points.numpy()).kneighbors(queries.numpy())
    for chunk in (1 << 25, 7 * 300, 1):
        monkeypatch.setattr(neighbours, "CHUNK", chunk)
        distances, indices = nearest(queries, points, 4)
        np.testing.assert_allclose(distances, expected, rtol=1e-4)
        np.testing.assert_array_equal(indices, which)


def test_radii_exclude_the_point_itself(points: torch.Tensor) -> None:
    expected, _ = NearestNeighbors(n_neighbors=6).fit(points.numpy()).kneighbors()
    np.testing.assert_allclose(radii(points, 6), expected[:, -1], rtol=1e-4)


def test_a_copy_has_distance_zero(points: torch.Tensor) -> None:
    assert float(nearest(points, points, 1)[0].max()) < 5e-3
