"""The filter [1, 3, 3, 1] in both directions, by which StyleGAN changes the size of feature maps.

The operator is `blur`. It is linear, and its adjoint is the same filter with a padding of 3 less that of the operator,
so it can be differentiated any number of times. PyTorch computes it as a convolution in as many groups as channels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ganzoo.ops import reference
from ganzoo.ops.autograd import Gradients, Needs, call, declare, empty_image
from ganzoo.ops.cuda_library import compute_dtype
from ganzoo.ops.dispatch import (
    Kernels,
    dispatch,
    image_on_cpu_reason,
    is_channels_last,
    like_reference,
    statically_true,
)

ops = torch.ops.ganzoo

MIN_VALUES = 1 << 14
"""Fewest values that `auto` filters natively."""


class BlurRule:
    """The rule of `blur`."""

    cuda: ClassVar[bool] = False

    def unsupported_reason(self, kernels: Kernels, x: Tensor, padding: int) -> str | None:
        reason = image_on_cpu_reason(x)
        if reason is not None:
            return reason
        if x.dim() != 4:
            return "they are for images [N, C, H, W]"
        if not 0 <= padding <= 3:
            return "they are for paddings of 0 to 3"
        if min(x.shape[2], x.shape[3]) + 2 * padding < 4:
            return "the image is smaller than the filter"
        return None if x.numel() else "there is nothing to compute"

    def is_profitable(self, kernels: Kernels, x: Tensor, padding: int) -> bool:
        return is_channels_last(x) and statically_true(x.numel() >= MIN_VALUES)


RULE = BlurRule()


def blur(x: Tensor, padding: int, gain: float = 1.0, *, backend: str = "auto") -> Tensor:
    """Maps [N, C, H, W] filtered by [1, 3, 3, 1] in both directions -> [N, C, H + 2 padding - 3, W + 2 padding - 3].

    The filter's sum is `gain`. The result has the memory format of `x`. Differentiable any number of times. On a GPU
    PyTorch computes it. Raises what PyTorch raises for images smaller than the filter, UsageError for an unknown
    `backend`, and `NativeError` if `backend` is "native" and the kernels cannot compute the call.
    """
    if dispatch(RULE, backend, x, padding) is None:
        return reference.blur(x, padding, gain)
    return like_reference(call(ops.blur, x.float(), padding, gain).to(compute_dtype(x)), x, x)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    _, ctx.padding, ctx.gain = inputs


def _backward(ctx: Any, needs: Needs, grad: Tensor) -> Gradients:
    return call(ops.blur, grad, 3 - ctx.padding, ctx.gain), None, None


def _fake(x: Tensor, padding: int, gain: float) -> Tensor:
    return empty_image(x, x.shape[0], x.shape[1], x.shape[2] + 2 * padding - 3, x.shape[3] + 2 * padding - 3)


declare("blur", _fake, _backward, _setup_context)
