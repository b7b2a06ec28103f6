"""Whether the native kernels compute a block: what they are for, and where `auto` takes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo.ops import cuda, native
from ganzoo.ops.backend import resolve, tell_once
from ganzoo.ops.derivatives import NARROW

WORTH_IT = {
    # kind: least input channels, least output channels, least multiply-adds; below, `auto` takes the reference
    "up": (64, 32, 1 << 25),
    "down": (32, 64, 1 << 25),
    "first": (64, 64, 1 << 19),
    "plain": (32, 64, 1 << 25),
    "narrow": (1, 16, 1 << 18),  # "plain" from at most NARROW channels
    "last": (16, 1, 1 << 18),
}
"""Where `auto` goes native: shapes whose forward and backward pass was not slower than the reference's."""


def is_native(
    backend: str, kind: str, x: Tensor, weight: Tensor, rest: tuple[Tensor | None, ...], stride: int, padding: int,
    training: bool,
) -> bool:  # fmt: skip
    """Whether the native kernels are to compute this; raises for backend "native" if they cannot."""
    backend = resolve(backend)
    if backend == "reference":
        return False
    unfit = _unfit(kind, x, weight, rest, stride, padding, training)
    if unfit is None and (backend == "native" or pays(kind, x, weight)):
        unfit = native.unavailable() or (cuda.unavailable() if cuda.takes(x) else None)
        if unfit is None:
            return True
        if backend == "auto":
            tell_once(unfit)
    if backend == "native":
        raise native.NativeError(f"The native kernels cannot compute this: {unfit}.")
    return False


def _unfit(
    kind: str, x: Tensor, weight: Tensor, rest: tuple[Tensor | None, ...], stride: int, padding: int, training: bool
) -> str | None:
    """Why the native kernels are not for these arguments, as a clause; None if they are."""
    tensors = [x, weight, *(t for t in rest if t is not None)]
    if (why := native.transformed()) is not None:
        return why
    if (why := cuda.unfit(x, weight, tensors[2:], training) if cuda.takes(x) else _unfit_on_cpu(tensors)) is not None:
        return why
    if x.dim() != 4 or weight.dim() != 4:
        return "they are for images [N, C, H, W] and weights of four dimensions"
    into, out = (1, 0) if kind in ("down", "plain") else (0, 1)
    if kind == "last" and weight.shape[1] > NARROW:
        return f"they are for images of at most {NARROW} channels"
    if x.shape[1] != weight.shape[into]:
        return f"the weight is for {weight.shape[into]} input channels, but there are {x.shape[1]}"
    if any(t.shape != weight.shape[out : out + 1] for t in tensors[2:]):
        return "the batch norm is for another number of channels"
    if len(rest) == 4 and (rest[2] is None) != (rest[3] is None):
        return "running mean and variance come together"
    if len(rest) == 4 and not training and rest[2] is None:
        return "without training there must be running statistics"
    if x.numel() == 0 or weight.numel() == 0:
        return "there is nothing to compute"
    if kind == "first":
        return None if x.shape[0] > 1 or weight.shape[2] * weight.shape[3] > 1 else "there is one value per channel"
    if weight.shape[2:] != (4, 4) or stride != 2 or padding != 1:
        return "they are for kernel 4, stride 2, padding 1"
    if kind not in ("up", "last"):
        if min(x.shape[2:]) < 2:
            return "the image is smaller than the kernel"
        if training and x.shape[0] * (x.shape[2] // 2) * (x.shape[3] // 2) == 1:
            return "there is one value per channel"  # which PyTorch refuses in its own words
    return None


def _unfit_on_cpu(tensors: list[Tensor]) -> str | None:
    for t in tensors:
        if not t.is_cpu or t.layout != torch.strided:
            return "they are for dense tensors on the CPU"
        if t.dtype != torch.float32:
            return "they are for float32"
    return "autocast asks for another precision than their float32" if torch.is_autocast_enabled("cpu") else None


def pays(kind: str, x: Tensor, weight: Tensor) -> bool:
    """Whether `auto` takes the native kernels for this, if they can compute it."""
    if cuda.takes(x):
        return cuda.IN_AUTO
    narrow = kind == "last" or (kind == "plain" and weight.shape[1] <= NARROW)
    converts = narrow and not (is_channels_last(x) or is_channels_last(weight))
    if converts and (kind == "plain" or torch.is_grad_enabled()):  # many channels, which takes what the kernels save
        return False
    least_in, least_out, least_work = WORTH_IT["narrow" if narrow and kind == "plain" else kind]
    cin, cout = (weight.shape[1], weight.shape[0]) if kind in ("down", "plain") else weight.shape[:2]
    pixels = x.shape[2] * x.shape[3] if kind in ("up", "first", "last") else x.shape[2] * x.shape[3] // 4
    return cin >= least_in and cout >= least_out and surely(x.shape[0] * pixels * weight.numel() >= least_work)


def surely(condition: Any) -> bool:
    """`condition` on sizes; in a program that is exported for many of them, whether it holds for all."""
    if torch.compiler.is_exporting():
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        return statically_known_true(condition)
    return bool(condition)


def is_channels_last(t: Tensor) -> bool:
    """As PyTorch sees it: by the strides where the sizes leave it open, and not for 1 x 1 images."""
    return t.stride(1) == 1 and t.shape[2:] != (1, 1) and t.is_contiguous(memory_format=torch.channels_last)
