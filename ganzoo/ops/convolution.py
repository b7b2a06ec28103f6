"""Convolutions with kernel 4, stride 2, padding 1, which halve or double an image.

The operators are `conv_transpose4x4s2`, `conv4x4s2`, `conv4x4s2_weight_grad`, and the first two with channel statistics
(`_stats`). Each of the three is linear in two arguments and the other two are its derivatives, so they can be
differentiated any number of times:

    <big, conv_transpose(small, weight)> = <conv(big, weight), small> = <weight_grad(small, big), weight>
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.ops import few_channels, reference
from ganzoo.ops.autograd import Gradients, Needs, call, declare, empty_image, leaky_relu_backward, needs_grad
from ganzoo.ops.backend import NativeError, exporting, resolve
from ganzoo.ops.batch_norm import fake_stats
from ganzoo.ops.cuda_library import compute_dtype
from ganzoo.ops.dispatch import (
    FEW_CHANNELS,
    BlockRule,
    dispatch,
    kernel_dtype,
    like_reference,
)
from ganzoo.ops.linear import linear
from ganzoo.ops.packing import pack_strided, packed
from ganzoo.ops.stride1 import conv3x3, conv4x4, has_stride1

ops = torch.ops.ganzoo

CONV = BlockRule(transposed=False, batch_norm=False, min_in=32, min_out=32, min_work=1 << 24)
CONV_FEW_CHANNELS = BlockRule(
    transposed=False, batch_norm=False, min_in=1, min_out=8, min_work=1 << 15, few_channels=True
)


def conv_leaky_relu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: int = 2,
    padding: int = 1,
    slope: float = 0.2,
    backend: str = "auto",
) -> Tensor:
    """Leaky ReLU of a convolution with bias, [out] or None: `conv_bn_leaky_relu` without the batch norm.

    On the CPU `auto` computes images that the kernel covers, such as the innermost ones of a U-Net, as a product.
    """
    stride1 = has_stride1(weight, stride, padding)
    if stride1 and weight.shape[2] == 3:
        return conv3x3(x, weight, bias, slope=slope, backend=backend)
    if slope < 0 and resolve(backend) == "native":  # the backward pass takes the sign from the result
        raise NativeError(f"The native kernels cannot compute this: {slope=} is negative.")
    if resolve(backend) == "auto" and not exporting() and _is_product(x, weight, stride, padding):
        return reference.leaky_relu(_whole_image(x, weight, bias, padding), slope)
    if stride1 and slope >= 0:
        return conv4x4(x, weight, bias, slope=slope, backend=backend)
    rule = CONV_FEW_CHANNELS if weight.dim() == 4 and weight.shape[1] <= FEW_CHANNELS else CONV
    kernels = None if slope < 0 else dispatch(rule, backend, x, weight, (bias,), stride, padding)
    if kernels is None:
        return reference.conv_leaky_relu(x, weight, bias, stride=stride, padding=padding, slope=slope)
    dtype, x = compute_dtype(x), x.to(kernel_dtype(x, kernels))
    shift = None if bias is None else bias.float()
    read_in_place = rule.few_channels or needs_grad(x, weight, bias)
    panels = None if read_in_place else packed(weight, pack_strided, kernels)
    out = call(ops.conv4x4s2, x, weight, panels, None, shift, slope)
    return like_reference(out.to(dtype), x, weight)


def _is_product(x: Tensor, weight: Tensor, stride: int, padding: int) -> bool:
    """Whether this is a convolution on the CPU whose kernel covers a whole image of more than a pixel."""
    if not x.is_cpu or x.dim() != 4 or weight.dim() != 4 or x.shape[1] != weight.shape[1] or x.dtype != weight.dtype:
        return False
    sides = list(zip(x.shape[2:], weight.shape[2:]))
    inside = all(padding + side <= kernel and side + 2 * padding - kernel in range(stride) for side, kernel in sides)
    return inside and x.shape[2] * x.shape[3] > 1 and x.shape[0] > 0 and padding > 0


def _whole_image(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    """The convolution of images that a padded kernel covers, as a product without the taps that meet padding."""
    (height, width), (rows, columns) = x.shape[2:], weight.shape[2:]
    outside = (0, 0, -padding, padding + width - columns, -padding, padding + height - rows)
    taps = F.pad(weight.permute(0, 2, 3, 1), outside).flatten(1)  # channels_last, as its gradient
    return linear(x.permute(0, 2, 3, 1).flatten(1), taps, bias)[:, :, None, None]


def _convolve(transposed: bool, x: Tensor, weight: Tensor, height: Any, width: Any) -> Tensor:
    if transposed:
        return call(ops.conv_transpose4x4s2, x, weight, None, None, None, 1.0, height, width)  # type: ignore[no-any-return]
    return call(ops.conv4x4s2, x, weight, None, None, None, 1.0)  # type: ignore[no-any-return]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, weight, _, scale, shift, slope = inputs[:6]
    ctx.save_for_backward(x, weight, output if slope != 1 else None)
    ctx.scale, ctx.shift, ctx.slope = scale is not None, shift is not None, slope


def _backward(transposed: bool, ctx: Any, needs: Needs, grad: Tensor) -> Gradients:
    if ctx.scale:
        raise NotImplementedError("ganzoo: convolutions with a scale are for inference and have no derivative")
    x, weight, out = ctx.saved_tensors
    if out is not None:
        if not transposed and few_channels.can_fuse_gradients(grad, weight):
            of = (*needs[:2], ctx.shift and needs[4])
            dx, dweight, dshift = few_channels.gradients(False, grad, out, x, weight, ctx.slope, of)
            return dx, dweight, None, None, dshift, None
        # `out` has the sign of the activation's input
        grad = leaky_relu_backward(grad, out, ctx.slope)
    dx, dweight = _adjoints(transposed, needs, x, weight, grad)
    dshift = grad.sum((0, 2, 3), dtype=torch.float32) if ctx.shift and needs[4] else None
    return dx, dweight, None, None, dshift, None


def _adjoints(
    transposed: bool, needs: Needs, x: Tensor, weight: Tensor, grad: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    dx = _convolve(not transposed, grad, weight, x.shape[2], x.shape[3]) if needs[0] else None
    small, big = (x, grad) if transposed else (grad, x)
    return dx, call(ops.conv4x4s2_weight_grad, small, big) if needs[1] else None


def _setup_stats_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.mark_non_differentiable(output[1], output[2])  # the gradient of batch_norm_act goes through y


def _stats_backward(transposed: bool, ctx: Any, needs: Needs, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    return _adjoints(transposed, needs, x, weight, grad)


def _setup_weight_grad_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _weight_grad_backward(ctx: Any, needs: Needs, grad: Tensor) -> Gradients:
    small, big = ctx.saved_tensors
    return (
        _convolve(False, big, grad, 0, 0) if needs[0] else None,
        _convolve(True, small, grad, big.shape[2], big.shape[3]) if needs[1] else None,
    )


def _fake_pack(weight: Tensor, transposed: bool) -> Tensor:
    cin, cout = (weight.shape[0], weight.shape[1]) if transposed else (weight.shape[1], weight.shape[0])
    return weight.new_empty(((cout + 31) // 32 * 32 * 16 * cin,))


def _fake_conv_transpose(x: Tensor, weight: Tensor, h: Any, w: Any) -> Tensor:
    return empty_image(x, x.shape[0], weight.shape[1], h, w)


def _fake_conv(x: Tensor, weight: Tensor) -> Tensor:
    return empty_image(x, x.shape[0], weight.shape[0], x.shape[2] // 2, x.shape[3] // 2)


def _with_stats(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return y, *fake_stats(y)


declare("conv4x4s2_pack_weight", _fake_pack)
declare(
    "conv_transpose4x4s2",
    lambda x, weight, packed, scale, shift, slope, h, w: _fake_conv_transpose(x, weight, h, w),
    lambda ctx, needs, grad: (*_backward(True, ctx, needs, grad), None, None),
    _setup_context,
)
declare(
    "conv4x4s2",
    lambda x, weight, packed, scale, shift, slope: _fake_conv(x, weight),
    lambda ctx, needs, grad: _backward(False, ctx, needs, grad),
    _setup_context,
)
declare(
    "conv_transpose4x4s2_stats",
    lambda x, weight, h, w: _with_stats(_fake_conv_transpose(x, weight, h, w)),
    lambda ctx, needs, grad, *_: (*_stats_backward(True, ctx, needs, grad), None, None),
    _setup_stats_context,
)
declare(
    "conv4x4s2_stats",
    lambda x, weight: _with_stats(_fake_conv(x, weight)),
    lambda ctx, needs, grad, *_: _stats_backward(False, ctx, needs, grad),
    _setup_stats_context,
)
declare(
    "conv4x4s2_weight_grad",
    lambda small, big: empty_image(small, small.shape[1], big.shape[1], 4, 4, torch.float32),
    _weight_grad_backward,
    _setup_weight_grad_context,
)
