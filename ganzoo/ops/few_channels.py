"""Layers next to an image of 1 to 4 channels: the generator's last layer, and gradients of a convolution fused with
those of its activation.

The operators are `conv_transpose4x4s2_tanh`, `few_channels_input_grad` and `few_channels_weight_grad`; without an
activation these layers use the operators of `ganzoo.ops.convolution`. On a GPU they are for float16 and bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganzoo.ops import reference
from ganzoo.ops.autograd import Gradients, Needs, call, declare, empty_image
from ganzoo.ops.cuda_library import compute_dtype, has_few_channels, is_cuda
from ganzoo.ops.dispatch import (
    FEW_CHANNELS,
    BlockRule,
    dispatch,
    kernel_dtype,
    like_reference,
)

ops = torch.ops.ganzoo

CONV_TRANSPOSE_TANH = BlockRule(
    transposed=True, batch_norm=False, min_in=16, min_out=1, min_work=1 << 18, few_channels=True
)


def conv_transpose_tanh(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 2, padding: int = 1, backend: str = "auto"
) -> Tensor:
    """tanh of a transposed convolution with bias, [out] or None: the last layer of a generator.

    Shapes and errors are those of `conv_transpose_bn_relu`; native for kernel 4, stride 2, padding 1 and images of 1 to
    4 channels. On a GPU the kernels are for float16 and bfloat16 with `in` a multiple of 16 up to 256; PyTorch computes
    the rest, whatever the backend.
    """
    if is_cuda(x) and not has_few_channels(compute_dtype(x), weight):
        kernels = None
    else:
        kernels = dispatch(CONV_TRANSPOSE_TANH, backend, x, weight, (bias,), stride, padding)
    if kernels is None:
        return reference.conv_transpose_tanh(x, weight, bias, stride=stride, padding=padding)
    dtype, x = compute_dtype(x), x.to(kernel_dtype(x, kernels))
    bias = None if bias is None else bias.float()
    out = call(ops.conv_transpose4x4s2_tanh, x, weight, bias, 2 * x.shape[2], 2 * x.shape[3])
    return like_reference(out.to(dtype), x, weight)


def can_fuse_gradients(grad: Tensor, weight: Tensor) -> bool:
    """Whether `gradients` applies: there are kernels for the layer, and the gradients are not to be differentiated."""
    if torch.is_grad_enabled():
        return False
    return has_few_channels(grad.dtype, weight) if is_cuda(grad) else weight.shape[1] <= FEW_CHANNELS


def gradients(
    transposed: bool, grad: Tensor, out: Tensor, x: Tensor, weight: Tensor, slope: float, needs: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, weight and shift that are needed.

    Of out = tanh(conv_transpose(x) + shift) if `transposed`, else of out = leaky_relu(conv(x) + shift, slope).
    """
    dx = dweight = dshift = None
    if needs[0]:
        dx = call(ops.few_channels_input_grad, grad, out, weight, transposed, slope, x.shape[2], x.shape[3])
    if needs[1] or needs[2]:
        dweight, dshift = call(ops.few_channels_weight_grad, grad, out, x, transposed, slope)
    return dx, dweight if needs[1] else None, dshift if needs[2] else None


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], output)


def _backward(ctx: Any, needs: Needs, grad: Tensor) -> Gradients:
    x, weight, out = ctx.saved_tensors
    if can_fuse_gradients(grad, weight):
        return *gradients(True, grad, out, x, weight, 1.0, needs), None, None
    grad = torch.ops.aten.tanh_backward(grad, out)
    dx = call(ops.conv4x4s2, grad, weight, None, None, None, 1.0) if needs[0] else None
    dweight = call(ops.conv4x4s2_weight_grad, x, grad) if needs[1] else None
    return dx, dweight, grad.sum((0, 2, 3), dtype=torch.float32) if needs[2] else None, None, None


def _fake_weight_grad(grad: Tensor, out: Tensor, x: Tensor, transposed: bool, slope: float) -> tuple[Tensor, Tensor]:
    small, big = (x, grad) if transposed else (grad, x)
    weight = empty_image(small, small.shape[1], big.shape[1], 4, 4, torch.float32)
    return weight, grad.new_empty((grad.shape[1],), dtype=torch.float32)


declare(
    "conv_transpose4x4s2_tanh",
    lambda x, weight, shift, h, w: empty_image(x, x.shape[0], weight.shape[1], h, w),
    _backward,
    _setup_context,
)
declare(
    "few_channels_input_grad",
    lambda grad, out, weight, transposed, slope, h, w: empty_image(
        grad, grad.shape[0], weight.shape[0 if transposed else 1], h, w
    ),
)
declare("few_channels_weight_grad", _fake_weight_grad)
