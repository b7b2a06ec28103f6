"""Convolutions with kernel 3, stride 1, padding 1: the inner layers of residual networks.

The operators are `conv3x3`, which can add a residual and a leaky ReLU, `conv3x3_stats`, with the channels' statistics
for a batch norm, and the derivatives `conv3x3_input_grad` and `conv3x3_weight_grad`. Each is linear in two arguments
and its derivatives are among the others, so they can be differentiated any number of times:

    <grad, conv(x, weight)> = <input_grad(grad, weight), x> = <weight_grad(x, grad), weight>
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganzoo.ops import cuda_library, reference
from ganzoo.ops.autograd import Gradients, declare, empty_image, leaky_relu_backward
from ganzoo.ops.backend import NativeError, resolve
from ganzoo.ops.batch_norm import fake_stats
from ganzoo.ops.dispatch import (
    FEW_CHANNELS,
    BlockRule,
    Kernels,
    below_autograd,
    dispatch,
    image_on_cpu_reason,
    is_channels_last,
    like_reference,
    needs_grad,
    statically_true,
)
from ganzoo.ops.packing import packed

ops = torch.ops.ganzoo


def conv3x3(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    residual: Tensor | None = None,
    slope: float = 1.0,
    groups: int = 1,
    backend: str = "auto",
) -> Tensor:
    """leaky_relu(conv2d(x, weight, bias, padding=1) + residual, slope): in a single pass over the result.

    `x` is [N, in, H, W], `weight` [out, in // groups, 3, 3], `bias` [out] or None, `residual` [N, out, H, W] or None. A
    `slope` of 1 means no activation, of 0 a ReLU. The result is channels_last if `x` or `weight` is. Differentiable any
    number of times. On a GPU PyTorch computes it. Raises what PyTorch raises for tensors that do not fit together,
    UsageError for an unknown `backend`, and `NativeError` if `backend` is "native" and the kernels cannot compute the
    call.
    """
    if slope < 0 and resolve(backend) == "native":  # the backward pass takes the sign from the result
        raise NativeError(f"The native kernels cannot compute this: {slope=} is negative.")
    if slope < 0 or dispatch(CONV3X3, backend, x, weight, (bias,), 1, 1, False, residual, groups) is None:
        return reference.conv3x3(x, weight, bias, residual=residual, slope=slope, groups=groups)
    dtype, x = cuda_library.compute_dtype(x), x.float()  # the kernels are float32
    residual = None if residual is None else residual.float()
    operator = ops.conv3x3.default
    if needs_grad(x, weight, bias, residual):
        out = operator(x, weight, None, None, bias, residual, slope, groups)
    else:
        panels = packed(weight, _packing(groups), Kernels.CPU)
        out = below_autograd(operator, x, weight, panels, None, bias, residual, slope, groups)
    return like_reference(out.to(dtype), x, weight)


@functools.cache
def _packing(groups: int) -> Callable[[Tensor], Tensor]:
    """The function that packs a weight for this many groups: the same one every time, as a key of the cache."""
    return functools.partial(ops.conv3x3_pack_weight.default, groups=groups)


@dataclass(frozen=True)
class Conv3x3Rule(BlockRule):
    """The rule of a convolution with kernel 3, stride 1, padding 1, with bias or batch norm."""

    cuda: ClassVar[bool] = False
    min_tiles: int = 32
    """Fewest tiles of 4 x 4 pixels for `auto`."""
    min_pixels_of_few: int = 1 << 14
    """Fewest pixels for `auto`, if one side has at most `FEW_CHANNELS` channels."""

    def unsupported_reason(
        self, kernels: Kernels, x: Tensor, weight: Tensor, params: Sequence[Tensor | None], stride: int, padding: int,
        training: bool = False, residual: Tensor | None = None, groups: int = 1,
    ) -> str | None:  # fmt: skip
        if groups != 1 and x.dim() == weight.dim() == 4:
            if groups < 1 or weight.shape[0] % groups:
                return f"{weight.shape[0]} output channels cannot be divided into {groups} groups"
            if x.shape[1] != groups * weight.shape[1]:
                return f"the weight is for {groups * weight.shape[1]} input channels, but there are {x.shape[1]}"
            x = x.detach()[:, : weight.shape[1]]  # the first group
        reason = super().unsupported_reason(kernels, x, weight, params, stride, padding, training)
        if reason is not None or residual is None:
            return reason
        if residual.shape != (x.shape[0], weight.shape[0], *x.shape[2:]):
            return "the residual has another shape than the result"
        return image_on_cpu_reason(residual)

    def _kernel_reason(self, x: Tensor, weight: Tensor, stride: int, padding: int, training: bool) -> str | None:
        if weight.shape[2] != 3 or weight.shape[3] != 3 or stride != 1 or padding != 1:
            return "they are for kernel 3, stride 1, padding 1"
        if training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return "there is one value per channel"  # PyTorch refuses this with its own message
        return None

    def is_profitable(
        self, kernels: Kernels, x: Tensor, weight: Tensor, params: Any, stride: int, padding: int,
        training: bool = False, residual: Tensor | None = None, groups: int = 1,
    ) -> bool:  # fmt: skip
        inputs, outputs, pixels = weight.shape[1], weight.shape[0] // groups, x.shape[0] * x.shape[2] * x.shape[3]
        if min(inputs, outputs) <= FEW_CHANNELS:  # copying the many channels costs more than the kernels save
            in_place = is_channels_last(x) or (inputs <= FEW_CHANNELS and is_channels_last(weight))
            wide = groups == 1 and max(inputs, outputs) >= 32
            return wide and in_place and statically_true(pixels >= self.min_pixels_of_few)
        tiles = x.shape[0] * ((x.shape[2] + 3) // 4) * ((x.shape[3] + 3) // 4)
        filled = 3 * 16 * tiles <= 4 * pixels  # few pixels of the tiles lie outside
        wide = inputs >= self.min_in and outputs >= self.min_out
        return wide and statically_true(filled) and statically_true(tiles >= self.min_tiles)


CONV3X3 = Conv3x3Rule(transposed=False, batch_norm=False, min_in=32, min_out=32, min_work=0)
CONV3X3_BN = Conv3x3Rule(transposed=False, batch_norm=True, min_in=32, min_out=32, min_work=0)


def is_3x3(weight: Tensor, stride: int, padding: int) -> bool:
    """Whether a convolution with this weight is one that `conv3x3` computes."""
    return weight.dim() == 4 and weight.shape[2:] == (3, 3) and stride == 1 and padding == 1


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, weight, _, scale, shift, residual, slope, groups = inputs
    ctx.groups = groups
    ctx.save_for_backward(x, weight, output if slope != 1 else None)
    ctx.scale, ctx.shift, ctx.residual, ctx.slope = scale is not None, shift is not None, residual is not None, slope


def _backward(ctx: Any, grad: Tensor) -> Gradients:
    if ctx.scale:
        raise NotImplementedError("ganzoo: convolutions with a scale are for inference and have no derivative")
    x, weight, out = ctx.saved_tensors
    if out is not None:  # `out` has the sign of the activation's input
        grad = leaky_relu_backward(grad, out, ctx.slope)
    dx, dweight = _adjoints(ctx, x, weight, grad, ctx.groups)
    dshift = grad.sum((0, 2, 3)) if ctx.shift and ctx.needs_input_grad[4] else None
    dresidual = grad if ctx.residual and ctx.needs_input_grad[5] else None
    return dx, dweight, None, None, dshift, dresidual, None, None


def _adjoints(
    ctx: Any, x: Tensor, weight: Tensor, grad: Tensor, groups: int = 1
) -> tuple[Tensor | None, Tensor | None]:
    dx = ops.conv3x3_input_grad(grad, weight, groups) if ctx.needs_input_grad[0] else None
    return dx, ops.conv3x3_weight_grad(x, grad, groups) if ctx.needs_input_grad[1] else None


def _setup_stats_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)
    ctx.mark_non_differentiable(output[1], output[2])  # the gradient of batch_norm_act goes through y


def _stats_backward(ctx: Any, grad: Tensor, *_: Any) -> Gradients:
    x, weight = ctx.saved_tensors
    return _adjoints(ctx, x, weight, grad)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.groups = inputs
    ctx.save_for_backward(*tensors)


def _input_grad_backward(ctx: Any, cotangent: Tensor) -> Gradients:
    grad, weight = ctx.saved_tensors
    return (
        _plain(cotangent, weight, ctx.groups) if ctx.needs_input_grad[0] else None,
        ops.conv3x3_weight_grad(cotangent, grad, ctx.groups) if ctx.needs_input_grad[1] else None,
        None,
    )


def _weight_grad_backward(ctx: Any, cotangent: Tensor) -> Gradients:
    x, grad = ctx.saved_tensors
    return (
        ops.conv3x3_input_grad(grad, cotangent, ctx.groups) if ctx.needs_input_grad[0] else None,
        _plain(x, cotangent, ctx.groups) if ctx.needs_input_grad[1] else None,
        None,
    )


def _plain(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    return ops.conv3x3(x, weight, None, None, None, None, 1.0, groups)  # type: ignore[no-any-return]


def _fake_pack(weight: Tensor, groups: int = 1) -> Tensor:
    out, cin = weight.shape[0] // groups, weight.shape[1]
    if cin <= FEW_CHANNELS:
        size = 9 * cin * _up(out, 32)
    elif out <= FEW_CHANNELS:
        size = cin * _up(9 * out, 32)
    else:
        size = 36 * _up(cin, 16) * _up(out, 32)
    return weight.new_empty((groups * size,))


def _up(channels: int, multiple: int) -> int:
    return (channels + multiple - 1) // multiple * multiple


def _fake_input_grad(grad: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    return empty_image(grad, grad.shape[0], groups * weight.shape[1], grad.shape[2], grad.shape[3])


def _fake(x: Tensor, weight: Tensor) -> Tensor:
    return empty_image(x, x.shape[0], weight.shape[0], x.shape[2], x.shape[3])


def _fake_stats(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = _fake(x, weight)
    return y, *fake_stats(y)


declare("conv3x3_pack_weight", _fake_pack)
declare(
    "conv3x3",
    lambda x, weight, packed, scale, shift, residual, slope, groups=1: _fake(x, weight),
    _backward,
    _setup_context,
)
declare("conv3x3_stats", _fake_stats, _stats_backward, _setup_stats_context)
declare("conv3x3_input_grad", _fake_input_grad, _input_grad_backward, _save_inputs)
declare(
    "conv3x3_weight_grad",
    lambda x, grad, groups=1: empty_image(x, grad.shape[1], x.shape[1] // groups, 3, 3),
    _weight_grad_backward,
    _save_inputs,
)
