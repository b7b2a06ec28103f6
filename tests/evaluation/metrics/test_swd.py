from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from ganzoo.evaluation.metrics import swd
from ganzoo.evaluation.metrics.swd import descriptors, laplacian_pyramid, levels, sliced_wasserstein

GAUSS = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def pictures(count: int, size: int = 32, channels: int = 1, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, channels, size, size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1, 1))
    return (128 + 200 * smooth).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "sides"), [(8, []), (16, [16]), (28, [28]), (32, [32, 16]), (36, [36, 18]), (64, [64, 32, 16])]
)
def test_levels_halve_down_to_sixteen_pixels(size: int, sides: list[int]) -> None:
    assert levels(size, size) == sides


def test_the_pyramid_equals_scipy() -> None:
    images = pictures(2, channels=3).astype(np.float64)
    small = ndimage.convolve(images, GAUSS[None, None], mode="mirror")[:, :, ::2, ::2]
    large = np.zeros_like(images)
    large[:, :, ::2, ::2] = small
    expected = images - ndimage.convolve(large, 4 * GAUSS[None, None], mode="mirror")
    bands = laplacian_pyramid(torch.from_numpy(images).float(), 2)
    np.testing.assert_allclose(bands[0], expected, atol=1e-3)
    np.testing.assert_allclose(bands[1], small, atol=1e-3)


def test_mmgenerations_pyramid_has_zeros_beyond_the_border_and_repeats_pixels() -> None:
    images = pictures(2).astype(np.float64)
    small = ndimage.convolve(images, GAUSS[None, None], mode="constant")[:, :, ::2, ::2]
    large = small.repeat(2, 2).repeat(2, 3)
    expected = images - ndimage.convolve(large, GAUSS[None, None], mode="constant")
    bands = laplacian_pyramid(torch.from_numpy(images).float(), 2, "mmgeneration")
    np.testing.assert_allclose(bands[0], expected, atol=1e-3)


def test_descriptors_are_patches_of_the_image_normalised_by_channel() -> None:
    rng = np.random.default_rng(0)
    (level,) = descriptors(pictures(3, size=16, channels=3), 1, rng)
    patches = level.all()
    assert patches.shape == level.shape == (3 * swd.PATCHES, 3 * 49)
    by_channel = patches.view(-1, 3, 49)
    torch.testing.assert_close(by_channel.mean((0, 2)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(by_channel.std((0, 2)), torch.ones(3), atol=1e-3, rtol=0)
    ramp = np.broadcast_to(np.arange(16, dtype=np.uint8), (2, 1, 16, 16))  # every patch of a ramp is a ramp
    (flat,) = descriptors(ramp, 1, rng)
    steps = flat.all().view(-1, 7, 7).diff(dim=2)
    torch.testing.assert_close(steps, torch.full_like(steps, float(steps[0, 0, 0])), atol=1e-4, rtol=0)


def test_in_one_dimension_it_is_the_wasserstein_distance() -> None:
    a, b = torch.randn(500, 1), 2 * torch.randn(500, 1) + 1
    distance = sliced_wasserstein(a, b, 8, np.random.default_rng(0))
    assert distance == pytest.approx(stats.wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy()), rel=1e-4)


def test_closed_form_of_shifted_points() -> None:
    """The distance between points and their translation by v is the mean of |v . direction|."""
    points, shift = torch.randn(2000, 3), torch.tensor([3.0, 0, 0])
    distance = sliced_wasserstein(points, points + shift, 4096, np.random.default_rng(0))
    assert distance == pytest.approx(3 * 0.5, rel=0.05)  # the mean of |cos| over the sphere is a half


def test_the_same_seed_gives_the_same_patches() -> None:
    first, again = (descriptors(pictures(4), 2, np.random.default_rng(5)) for _ in range(2))
    assert all(torch.equal(a.all(), b.all()) for a, b in zip(first, again))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_measures_what_a_cpu_measures() -> None:
    values = []
    for device in ("cpu", "cuda"):
        rng = np.random.default_rng(0)
        ours, theirs = (descriptors(pictures(64, size=16), 1, rng)[0].to(torch.device(device)) for _ in range(2))
        values.append(sliced_wasserstein(ours, theirs, 64, rng))
    assert values[1] == pytest.approx(values[0], rel=1e-3)
