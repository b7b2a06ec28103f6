"""Conversion of pixels and points to [-1, 1] and back."""

from __future__ import annotations

import pytest
import torch

from ganzoo.core.spec import DataSpec
from ganzoo.data.normalization import decode, encode

IMAGES = DataSpec(1, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_outputs_are_rounded_and_clamped_to_bytes(dtype: torch.dtype) -> None:
    values = torch.tensor([-1.0, 1.0, 0.0, -2.0, 3.0, -0.5], dtype=dtype)
    assert decode(values, IMAGES).tolist() == [0, 255, 128, 0, 255, 64]


def test_every_byte_comes_back() -> None:
    data = torch.arange(256).to(torch.uint8)
    values = encode(data, IMAGES)
    assert values.min() == -1
    assert values.max() == 1
    assert torch.equal(decode(values, IMAGES), data)


def test_points_fill_the_unit_square_and_come_back() -> None:
    spec = DataSpec(2, 0, scale=4.5)
    points = torch.tensor([[4.5, -4.5], [0.1, 2.0]])
    assert encode(points, spec).abs().max() == 1
    assert points.abs().max() == 4.5
    torch.testing.assert_close(decode(encode(points, spec), spec), points)
