from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from ganzoo.evaluation.metrics.ms_ssim import ms_ssim, ssim


def pictures(count: int, size: int, channels: int = 1, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed))
    return torch.from_numpy(gaussian_filter(noise.numpy(), (0, 0, 2, 2))) * 255


def test_equals_torchmetrics_where_that_is_defined() -> None:
    a = pictures(2, 192, 3)
    b = (a + 20 * torch.randn(a.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 255)
    expected = multiscale_structural_similarity_index_measure(
        b, a, kernel_size=11, sigma=1.5, data_range=255.0, reduction="none", gaussian_kernel=True, normalize="relu"
    )
    # torchmetrics pads the border, and crops it by another window's width
    torch.testing.assert_close(ms_ssim(a, b), expected, atol=5e-3, rtol=0)


def test_one_scale_equals_torchmetrics() -> None:
    a, b = pictures(3, 24), pictures(3, 24, seed=1)
    _, expected = structural_similarity_index_measure(
        a, b, kernel_size=11, sigma=1.5, data_range=255.0, return_full_image=True
    )
    torch.testing.assert_close(ssim(a, b)[0], expected[:, :, 5:-5, 5:-5].mean((1, 2, 3)), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("size", [8, 16, 28, 33, 64])
def test_an_image_is_similar_to_itself_only(size: int) -> None:
    a = pictures(4, size)
    torch.testing.assert_close(ms_ssim(a, a), torch.ones(4), atol=1e-4, rtol=0)
    other = ms_ssim(a, pictures(4, size, seed=1))
    assert bool((other < 0.9).all())
    assert bool((other >= 0).all())
