"""What networks see: pixels and coordinates as floats in [-1, 1], and the way back."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.plugin import DataSpec


def encode(values: Tensor, spec: DataSpec) -> Tensor:
    """Pixels uint8 or points float32, [N, *spec.shape], as the float32 that networks are given."""
    if spec.kind == "points":
        return values / spec.scale
    return values.float().mul_(1 / 127.5).sub_(1)


def decode(outputs: Tensor, spec: DataSpec) -> Tensor:
    """A network's output of any float type as pixels uint8 or points float32 on the CPU, same shape."""
    if spec.kind == "points":
        return outputs.float().mul(spec.scale).cpu()
    return outputs.float().add(1).mul(127.5).round().clamp(0, 255).to("cpu", torch.uint8)
