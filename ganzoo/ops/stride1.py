"""Convolutions with stride 1 and padding 1: kernel 3, the inner layers of residual networks, and kernel 4, of PatchGAN.

The operators are `conv_stride1`, which can add a residual and a leaky ReLU, `conv_stride1_stats`, with the channels'
statistics for a batch norm, and the derivatives `conv_stride1_input_grad` and `conv_stride1_weight_grad`. Each is
linear in two arguments and its derivatives are among the others, so they can be differentiated any number of times:

    <grad, conv(x, weight)> = <input_grad(grad, weight), x> = <weight_grad(x, grad), weight>
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganzoo.ops import cuda_library, reference
from ganzoo.ops.autograd import Gradients, Needs, call, declare, empty_image, leaky_relu_backward, needs_grad
from ganzoo.ops.backend import NativeError, resolve
from ganzoo.ops.batch_norm import fake_stats
from ganzoo.ops.dispatch import (
    FEW_CHANNELS,
    BlockRule,
    Kernels,
    dispatch,
    image_on_cpu_reason,
    is_channels_last,
    like_reference,
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
    return like_reference(_convolve(x, weight, bias, residual, slope, groups).to(dtype), x, weight)


def conv4x4(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, slope: float = 1.0, backend: str = "auto"
) -> Tensor:
    """leaky_relu(conv2d(x, weight, bias, padding=1), slope) with kernel 4, whose result is one pixel smaller.

    `x` is [N, in, H, W], `weight` [out, in, 4, 4]; `slope` is not negative. Everything else is as in `conv3x3`.
    """
    if dispatch(CONV4X4, backend, x, weight, (bias,), 1, 1) is None:
        return reference.conv_leaky_relu(x, weight, bias, stride=1, padding=1, slope=slope)
    dtype = cuda_library.compute_dtype(x)
    return like_reference(_convolve(x.float(), weight, bias, None, slope, 1).to(dtype), x, weight)


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, slope: float, groups: int
) -> Tensor:
    recorded = needs_grad(x, weight, bias, residual)
    panels = None if recorded else packed(weight, ops.conv_stride1_pack_weight.default, Kernels.CPU, groups)
    return call(ops.conv_stride1, x, weight, panels, None, bias, residual, slope, groups)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Stride1Rule(BlockRule):
    """The rule of a convolution with stride 1 and padding 1, with bias or batch norm."""

    cuda: ClassVar[bool] = False
    kernel: int = 3
    """3 or 4."""
    min_tiles: int = 32
    """Fewest tiles of 4 x 4 pixels for `auto`."""
    min_pixels_from_few: int = 1 << 14
    """Fewest pixels for `auto`, if kernel 3 has at most `FEW_CHANNELS` input channels."""
    min_pixels_to_few: int = 1 << 11
    """Fewest pixels for `auto`, if kernel 3 has at most `FEW_CHANNELS` output channels."""

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
        if weight.shape[2:] != (self.kernel, self.kernel) or stride != 1 or padding != 1:
            return f"they are for kernel {self.kernel}, stride 1, padding 1"
        height, width = self._size(x)
        if height < 1 or width < 1:
            return "the image is smaller than the kernel"
        if training and x.shape[0] * height * width == 1:
            return "there is one value per channel"  # PyTorch refuses this with its own message
        return None

    def _size(self, x: Tensor) -> tuple[int, int]:
        """Height and width of the result."""
        return x.shape[2] + 3 - self.kernel, x.shape[3] + 3 - self.kernel

    def is_profitable(
        self, kernels: Kernels, x: Tensor, weight: Tensor, params: Any, stride: int, padding: int,
        training: bool = False, residual: Tensor | None = None, groups: int = 1,
    ) -> bool:  # fmt: skip
        inputs, outputs, pixels = weight.shape[1], weight.shape[0] // groups, x.shape[0] * x.shape[2] * x.shape[3]
        if self.kernel == 3 and min(inputs, outputs) <= FEW_CHANNELS:
            # copying the many channels costs more than the kernels save
            in_place = is_channels_last(x) or (inputs <= FEW_CHANNELS and is_channels_last(weight))
            wide = groups == 1 and max(inputs, outputs) >= 32
            fewest = self.min_pixels_from_few if inputs <= FEW_CHANNELS else self.min_pixels_to_few
            return wide and in_place and statically_true(pixels >= fewest)
        height, width = self._size(x)
        tiles = x.shape[0] * ((height + 3) // 4) * ((width + 3) // 4)
        # the sum has three times the products of the tiles, of which few pixels lie outside then
        filled = 3 * (self.kernel + 3) ** 2 * tiles <= self.kernel**2 * x.shape[0] * height * width
        wide = inputs >= self.min_in and outputs >= self.min_out
        return wide and statically_true(filled) and statically_true(tiles >= self.min_tiles)


CONV3X3 = Stride1Rule(transposed=False, batch_norm=False, min_in=32, min_out=32, min_work=0)
CONV3X3_BN = Stride1Rule(transposed=False, batch_norm=True, min_in=32, min_out=32, min_work=0)
CONV4X4 = Stride1Rule(transposed=False, batch_norm=False, min_in=32, min_out=32, min_work=0, kernel=4)
CONV4X4_BN = Stride1Rule(transposed=False, batch_norm=True, min_in=32, min_out=32, min_work=0, kernel=4)


def has_stride1(weight: Tensor, stride: int, padding: int) -> bool:
    """Whether a convolution with this weight is one of those with stride 1 that there are kernels for."""
    return weight.dim() == 4 and weight.shape[2:] in ((3, 3), (4, 4)) and stride == 1 and padding == 1


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, weight, _, scale, shift, residual, slope, groups = inputs
    ctx.groups = groups
    ctx.save_for_backward(x, weight, output if slope != 1 else None)
    ctx.scale, ctx.shift, ctx.residual, ctx.slope = scale is not None, shift is not None, residual is not None, slope


def _backward(ctx: Any, needs: Needs, grad: Tensor) -> Gradients:
    if ctx.scale:
        raise NotImplementedError("ganzoo: convolutions with a scale are for inference and have no derivative")
    x, weight, out = ctx.saved_tensors
    if out is not None:  # `out` has the sign of the activation's input
        grad = leaky_relu_backward(grad, out, ctx.slope)
    dx, dweight = _adjoints(needs, x, weight, grad, ctx.groups)
    dshift = grad.sum((0, 2, 3)) if ctx.shift and needs[4] else None
    dresidual = grad if ctx.residual and needs[5] else None
    return dx, dweight, None, None, dshift, dresidual, None, None


def _adjoints(
    needs: Needs, x: Tensor, weight: Tensor, grad: Tensor, groups: int = 1
) -> tuple[Tensor | None, Tensor | None]:
    dx = call(ops.conv_stride1_input_grad, grad, weight, groups) if needs[0] else None
    return dx, call(ops.conv_stride1_weight_grad, x, grad, groups) if needs[1] else None


def _setup_stats_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)
    ctx.mark_non_differentiable(output[1], output[2])  # the gradient of batch_norm_act goes through y


def _stats_backward(ctx: Any, needs: Needs, grad: Tensor, *_: Any) -> Gradients:
    x, weight = ctx.saved_tensors
    return _adjoints(needs, x, weight, grad)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *tensors, ctx.groups = inputs
    ctx.save_for_backward(*tensors)


def _input_grad_backward(ctx: Any, needs: Needs, cotangent: Tensor) -> Gradients:
    grad, weight = ctx.saved_tensors
    return (
        _plain(cotangent, weight, ctx.groups) if needs[0] else None,
        call(ops.conv_stride1_weight_grad, cotangent, grad, ctx.groups) if needs[1] else None,
        None,
    )


def _weight_grad_backward(ctx: Any, needs: Needs, cotangent: Tensor) -> Gradients:
    x, grad = ctx.saved_tensors
    return (
        call(ops.conv_stride1_input_grad, grad, cotangent, ctx.groups) if needs[0] else None,
        _plain(x, cotangent, ctx.groups) if needs[1] else None,
        None,
    )


def _plain(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    return call(ops.conv_stride1, x, weight, None, None, None, None, 1.0, groups)  # type: ignore[no-any-return]


def _fake_pack(weight: Tensor, groups: int = 1) -> Tensor:
    out, cin = weight.shape[0] // groups, weight.shape[1]
    if weight.shape[2] != 3 or min(cin, out) > FEW_CHANNELS:
        size = (weight.shape[2] + 3) ** 2 * _up(cin, 16) * _up(out, 32)
    elif cin <= FEW_CHANNELS:
        size = 9 * cin * _up(out, 32)
    else:
        size = cin * _up(9 * out, 32)
    return weight.new_empty((groups * size,))


def _up(channels: int, multiple: int) -> int:
    return (channels + multiple - 1) // multiple * multiple


def _fake_input_grad(grad: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    more = weight.shape[2] - 3
    return empty_image(grad, grad.shape[0], groups * weight.shape[1], grad.shape[2] + more, grad.shape[3] + more)


def _fake(x: Tensor, weight: Tensor) -> Tensor:
    less = weight.shape[2] - 3
    return empty_image(x, x.shape[0], weight.shape[0], x.shape[2] - less, x.shape[3] - less)


def _fake_weight_grad(x: Tensor, grad: Tensor, groups: int = 1) -> Tensor:
    kernel = 3 + x.shape[2] - grad.shape[2]
    return empty_image(x, grad.shape[1], x.shape[1] // groups, kernel, kernel)


def _fake_stats(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    y = _fake(x, weight)
    return y, *fake_stats(y)


declare("conv_stride1_pack_weight", _fake_pack)
declare(
    "conv_stride1",
    lambda x, weight, packed, scale, shift, residual, slope, groups=1: _fake(x, weight),
    _backward,
    _setup_context,
)
declare("conv_stride1_stats", _fake_stats, _stats_backward, _setup_stats_context)
declare("conv_stride1_input_grad", _fake_input_grad, _input_grad_backward, _save_inputs)
declare(
    "conv_stride1_weight_grad",
    _fake_weight_grad,
    _weight_grad_backward,
    _save_inputs,
)
