"""What networks see: pixels and coordinates as floats in [-1, 1], and the way back."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.core.spec import DataSpec


def encode(values: Tensor, spec: DataSpec) -> Tensor:
    """Pixels uint8 or points float32, [N, *spec.shape], as the float32 that networks are given; same device."""
    return values / spec.scale if spec.kind == "points" else from_uint8(values)


def decode(outputs: Tensor, spec: DataSpec) -> Tensor:
    """A network's output of any float type as pixels uint8 or points float32 on the CPU, same shape."""
    return outputs.float().mul(spec.scale).cpu() if spec.kind == "points" else to_uint8(outputs)


def from_uint8(images: Tensor) -> Tensor:
    """Images uint8 0..255 as float32 in [-1, 1], same shape and device."""
    return images.float().mul_(1 / 127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] of any float type as uint8 0..255 on the CPU, same shape."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to("cpu", torch.uint8)
