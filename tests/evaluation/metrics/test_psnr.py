from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from ganzoo_plugins.datasets.corruptions import Blur, Mosaic
from torchmetrics.functional.image import peak_signal_noise_ratio

from ganzoo.evaluation.metrics.psnr import block_size, decibels, upsampled


def pictures(count: int = 6, size: int = 12) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=rng) * 255
    return F.interpolate(coarse, (size, size), mode="bilinear").round().to(torch.uint8)


def mosaic(images: torch.Tensor, block: int) -> torch.Tensor:
    return Mosaic().corrupt(images, torch.Generator(), block)


def test_equals_torchmetrics() -> None:
    images = pictures()
    damaged = (images.float() + 9 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 255)
    expected = peak_signal_noise_ratio(damaged, images.float(), data_range=255.0, dim=(1, 2, 3))
    assert decibels(damaged, images) == pytest.approx(float(expected), abs=1e-4)


def test_equal_images_have_a_finite_ratio() -> None:
    images = pictures()
    one_off = images.clone()
    one_off[:, 0, 0, 0] ^= 1
    assert decibels(images, images) == decibels(one_off, images) == pytest.approx(10 * math.log10(255**2 * 3 * 144))


@pytest.mark.parametrize("block", [2, 3, 4, 5, 12])
def test_the_block_size_of_a_mosaic_is_found(block: int) -> None:
    assert block_size(mosaic(pictures(), block)) == block


def test_other_images_have_no_blocks() -> None:
    images = pictures()
    assert block_size(images) == 1
    assert block_size(Blur().corrupt(images, torch.Generator(), 2)) == 1
    damaged = mosaic(images, 4)
    damaged[3, 1, 5, 5] ^= 1
    assert block_size(damaged) == 1


def test_bicubic_upsampling_equals_torch_and_is_closer_to_smooth_images_than_blocks() -> None:
    images = pictures(size=16)
    small = F.avg_pool2d(images.float(), 4).round()
    expected = F.interpolate(small, (16, 16), mode="bicubic").round().clamp(0, 255)
    assert torch.equal(upsampled(mosaic(images, 4), 4).float(), expected)
    for block in (4, 5):  # 16 is not a multiple of 5
        assert decibels(upsampled(mosaic(images, block), block), images) > decibels(mosaic(images, block), images)
