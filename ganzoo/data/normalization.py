"""Convert uint8 pixels and point coordinates to [-1, 1] and back."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.core.spec import DataSpec


def encode(values: Tensor, spec: DataSpec) -> Tensor:
    """Convert pixels uint8 or points float32, [N, *spec.shape], to float32 in [-1, 1] on the same device."""
    return values / spec.scale if spec.kind == "points" else from_uint8(values)


def decode(outputs: Tensor, spec: DataSpec) -> Tensor:
    """Convert a network's output, of any float type, to pixels uint8 or points float32 on the CPU."""
    return outputs.float().mul(spec.scale).cpu() if spec.kind == "points" else to_uint8(outputs)


def from_uint8(images: Tensor) -> Tensor:
    """Convert images uint8 0..255 to float32 in [-1, 1] on the same device."""
    return images.float().mul_(1 / 127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Convert images in [-1, 1], of any float type, to uint8 0..255 on the CPU."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to("cpu", torch.uint8)
