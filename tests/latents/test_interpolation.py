from __future__ import annotations

import math

import pytest
import torch

from ganzoo.errors import UsageError
from ganzoo.latents import Latents, between, combine, corners, lerp, mean, neighbours, slerp, walk


def test_slerp_goes_around_the_circle_at_constant_speed() -> None:
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    for t in (0.0, 0.25, 0.5, 1.0):
        angle = t * math.pi / 2
        assert torch.allclose(slerp(a, b, t), torch.tensor([[math.cos(angle), math.sin(angle)]]), atol=1e-6)


def test_slerp_keeps_the_length_of_normal_noise_and_lerp_does_not() -> None:
    a, b = torch.randn(2, 200, 512, generator=torch.Generator().manual_seed(0))
    assert slerp(a, b, 0.5).norm(dim=1).mean() == pytest.approx(512**0.5, rel=0.02)
    assert lerp(a, b, 0.5).norm(dim=1).mean() == pytest.approx(256**0.5, rel=0.02)


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
def test_slerp_of_points_on_a_line_is_straight_and_finite(factor: float) -> None:
    a = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(slerp(a, factor * a, 0.3), lerp(a, factor * a, 0.3), atol=1e-3)


def test_a_walk_visits_every_point_in_order_and_mixes_classes() -> None:
    points = Latents(torch.randn(3, 8), torch.eye(3))
    steps = walk(points, 30)
    assert len(steps) == 30
    assert torch.allclose(steps.z[[0, 10, 20]], points.z, atol=1e-5)
    assert steps.condition is not None
    assert torch.allclose(steps.condition.sum(1), torch.ones(30))
    assert torch.allclose(steps.condition[25], torch.tensor([0.5, 0.0, 0.5]), atol=1e-6)
    assert len(walk(points, 7)) == 7  # no multiple of the number of points


def test_a_grid_has_its_corners_and_straight_edges() -> None:
    points = Latents(torch.randn(4, 8))
    z = corners(points, 3, 5, lerp).z.unflatten(0, (3, 5))
    assert torch.allclose(z[[0, 0, -1, -1], [0, -1, 0, -1]], points.z, atol=1e-6)
    assert torch.allclose(z[1, 2], points.z.mean(0), atol=1e-6)
    assert torch.allclose(z[0, 1], 0.75 * points.z[0] + 0.25 * points.z[1], atol=1e-6)


def test_one_point_is_enough_for_one_side() -> None:
    points = Latents(torch.randn(4, 8))
    assert torch.equal(between(points[:1], points, torch.ones(4), lerp).z, points.z)


def test_impossible_paths_are_refused() -> None:
    points = Latents(torch.randn(5, 8))
    for call in (lambda: walk(points[:1], 9), lambda: walk(points, 4), lambda: corners(points, 3, 3)):
        with pytest.raises(UsageError):
            call()
    with pytest.raises(UsageError, match="at least 2 rows"):
        corners(points[:4], 1, 3)


def test_arithmetic_is_on_means_and_on_classes() -> None:
    a, b, c = (Latents(torch.randn(3, 8), torch.eye(3)[[i] * 3]) for i in range(3))
    result = combine([(1, a), (-1, b), (1, c)])
    assert torch.allclose(result.z, a.z.mean(0, True) - b.z.mean(0, True) + c.z.mean(0, True))
    assert result.condition is not None
    assert result.condition.tolist() == [[1, -1, 1]]
    assert len(mean(a)) == 1
    around = neighbours(result, 9, seed=1)
    assert torch.equal(around.z[0], result.z[0])
    assert 0 < (around.z[1:] - result.z).abs().max() <= 0.25
    assert torch.equal(around.z, neighbours(result, 9, seed=1).z)
