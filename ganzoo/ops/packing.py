"""Weights in the order the kernels read them, kept for as long as they do not change: for inference."""

from __future__ import annotations

import collections
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ganzoo.ops import cuda

SAMPLES = 256


def packed(weight: Tensor, up: bool) -> Tensor | None:
    """`weight` packed for `torch.ops.ganzoo.up` or `down`; None where it should be packed in the call.

    Kept until the weight changes: until its version or its place in memory differs. Writes through `.data`, NumPy or
    another process leave no trace in the version. They are noticed where they touch one of `SAMPLES` or more values,
    among them some of every channel and every tap: to read all of a weight takes a fifth of the generator's time at
    batch 1. What writes single values should do so under `torch.no_grad()`, which has a version.
    """
    dense = weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last)
    real = type(weight) in (Tensor, torch.nn.Parameter)  # a fake tensor, say, has no memory to look at
    if cuda.takes(weight):  # packed in every call: to ask whether a weight has changed would wait for the GPU
        return None
    if torch.compiler.is_compiling() or not real or not dense or weight.is_inference() or not weight.is_leaf:
        return None
    state = (weight._version, weight.data_ptr(), weight.stride())
    kept: Kept | None = _kept[up].get(weight)
    values = weight.detach().as_strided((weight.numel(),), (1,))
    if kept is not None and kept.state == state and torch.equal(values.take(kept.places), kept.samples):
        return kept.panels
    places = _places(weight)
    with torch.no_grad():
        _kept[up][weight] = kept = Kept(state, places, values.take(places), torch.ops.ganzoo.pack(weight, up))
    return kept.panels


class Kept(NamedTuple):
    """Panels, and what the weight was when they were made: `samples` are its values at `places` in memory."""

    state: tuple[Any, ...]
    places: Tensor
    samples: Tensor
    panels: Tensor


_kept: dict[bool, WeakTensorKeyDictionary] = collections.defaultdict(WeakTensorKeyDictionary)


def _places(weight: Tensor) -> Tensor:
    """Along the diagonals of the channels, each with the next tap."""
    rows, columns = weight.shape[2:]
    k = torch.arange(max(SAMPLES, *weight.shape))
    index = (k % weight.shape[0], k % weight.shape[1], k // columns % rows, k % columns)
    return torch.stack([i * stride for i, stride in zip(index, weight.stride())]).sum(0)
