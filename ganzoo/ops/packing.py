"""Weights in the order in which the kernels read them, cached until they change: for inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from ganzoo.ops.dispatch import Kernels

SAMPLES = 256


class CachedPanels(NamedTuple):
    """A packed weight, and the state of the weight at that time: `samples` are its values at `places` in memory."""

    state: tuple[Any, ...]
    places: Tensor
    samples: Tensor
    panels: Tensor


# By the weight's storage and, in it, the function that packed it, with its arguments. Not by the weight: PyTorch
# refuses to swap tensors that have weak references (torch.utils.swap_tensors, which Module.to and load_state_dict use).
_cache: WeakIdKeyDictionary = WeakIdKeyDictionary()


def packed(weight: Tensor, pack: Callable[..., Tensor], kernels: Kernels, *arguments: int) -> Tensor | None:
    """`pack(weight, *arguments)`, the weight as a kernel reads it; None if the call should pack it.

    Cached until the weight's version or its place in memory changes. Writes through `.data`, NumPy or another process
    leave no trace in the version. They are noticed if they touch one of `SAMPLES` or more values, among them some of
    every channel and every tap: reading the whole weight would take a fifth of the generator's time at batch 1. Code
    that writes single values should do so under `torch.no_grad()`, which has a version.
    """
    if kernels is Kernels.CUDA:  # packed in every call: checking for changes would wait for the GPU
        return None
    dense = weight.is_contiguous() or weight.is_contiguous(memory_format=torch.channels_last)
    real = type(weight) in (Tensor, torch.nn.Parameter)  # a fake tensor, for example, has no memory to read
    if torch.compiler.is_compiling() or not real or not dense or weight.is_inference() or not weight.is_leaf:
        return None
    by_pack: dict[tuple[Any, ...], CachedPanels] = _cache.setdefault(weight.untyped_storage(), {})
    key = (pack, arguments, weight.storage_offset(), weight.shape)
    state = (weight._version, weight.data_ptr(), weight.stride())
    cached = by_pack.get(key)
    values = weight.detach().as_strided((weight.numel(),), (1,))
    if cached is not None and cached.state == state and torch.equal(values.take(cached.places), cached.samples):
        return cached.panels
    places = _places(weight)
    with torch.no_grad():
        by_pack[key] = CachedPanels(state, places, values.take(places), pack(weight, *arguments))
    return by_pack[key].panels


def pack_transposed(weight: Tensor) -> Tensor:
    """`weight` packed for `conv_transpose4x4s2`."""
    return torch.ops.ganzoo.conv4x4s2_pack_weight(weight, True)  # type: ignore[no-any-return]


def pack_strided(weight: Tensor) -> Tensor:
    """`weight` packed for `conv4x4s2`."""
    return torch.ops.ganzoo.conv4x4s2_pack_weight(weight, False)  # type: ignore[no-any-return]


def _places(weight: Tensor) -> Tensor:
    """Offsets of the sampled values: along the diagonals of the channels, moving through the taps."""
    rows, columns = weight.shape[2:]
    k = torch.arange(max(SAMPLES, *weight.shape))
    index = (k % weight.shape[0], k % weight.shape[1], k // columns % rows, k % columns)
    return torch.stack([i * stride for i, stride in zip(index, weight.stride())]).sum(0)
