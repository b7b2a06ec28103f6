"""3x3 convolutions next to a change of size by 2, as they occur in residual networks, by the kernels for 4x4, stride 2.

Upsampling repeats each pixel, and average pooling sums pixels: both are convolutions with a 2x2 box of ones. With w4
the full convolution of the 3x3 kernel with this box, a 4x4 kernel,

    conv(upsample(x), w) = conv_transpose(x, w4 flipped),   avg_pool(conv(x, w)) = conv(x, w4) / 4,   both with stride 2

which takes 16 products for 4 pixels where 36 are written. w4 is linear in w, so autograd folds gradients back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ganzoo.ops import cuda_library, reference
from ganzoo.ops.autograd import call, needs_grad
from ganzoo.ops.dispatch import (
    FEW_CHANNELS,
    Kernels,
    dispatch,
    image_on_cpu_reason,
    is_channels_last,
    kernel_dtype,
    like_reference,
    shape_reason,
    statically_true,
)
from ganzoo.ops.packing import pack_strided, pack_transposed, packed

ops = torch.ops.ganzoo


@dataclass(frozen=True)
class ResampleRule:
    """The rule of a 3x3 convolution with bias after upsampling (`up`) or before pooling."""

    cuda: ClassVar[bool] = False
    up: bool

    def unsupported_reason(self, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor | None) -> str | None:
        reason = image_on_cpu_reason(x, weight) if bias is None else image_on_cpu_reason(x, weight, bias)
        reason = reason or shape_reason(x, weight, bias, 3)
        if reason is not None:
            return reason
        if not self.up and (x.shape[2] < 2 or x.shape[3] < 2):
            return "the image is too small to be halved"
        return None

    def is_profitable(self, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        cout, cin = weight.shape[:2]
        small, big = (cin, cout) if self.up else (cout, cin)  # channels of the small and of the big image
        rows = x.shape[0] * x.shape[2] * x.shape[3] // (1 if self.up else 4)  # pixels of the small image
        work = 16 * rows * cin * cout
        if big <= FEW_CHANNELS:  # copying the small image, with many channels, costs more than the kernels save
            return (
                small >= 16 and (is_channels_last(x) or is_channels_last(weight)) and statically_true(work >= 1 << 21)
            )
        if not needs_grad(x, weight, bias):
            return min(small, big) >= 16 and statically_true(work >= 1 << 22)
        # expanding the weight and folding its gradient back cost the same for any number of pixels
        return min(small, big) >= 16 and statically_true(rows >= 256) and statically_true(work >= 1 << 23)


UPSAMPLE_CONV = ResampleRule(up=True)
CONV_DOWNSAMPLE = ResampleRule(up=False)


def upsample_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """A 3x3 convolution with padding 1 of `x` upsampled by 2 to the nearest neighbour.

    `x` is [N, in, H, W], `weight` [out, in, 3, 3], `bias` [out] or None; the result is [N, out, 2H, 2W], channels_last
    if `x` or `weight` is. Differentiable any number of times. On a GPU PyTorch computes it. Raises what PyTorch raises
    for tensors that do not fit together, UsageError for an unknown `backend`, and `NativeError` if `backend` is
    "native" and the kernels cannot compute the call.
    """
    if dispatch(UPSAMPLE_CONV, backend, x, weight, bias) is None:
        return reference.upsample_conv(x, weight, bias)
    dtype, x = cuda_library.compute_dtype(x), x.to(kernel_dtype(x, Kernels.CPU))
    small, panels = (transposed_kernel(weight), None) if needs_grad(x, weight, bias) else _for_inference(weight, True)
    out = call(ops.conv_transpose4x4s2, x, small, panels, None, bias, 1.0, 2 * x.shape[2], 2 * x.shape[3])
    return like_reference(out.to(dtype), x, weight)


def conv_downsample(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """The means of 2x2 pixels of a 3x3 convolution with padding 1: the adjoint of `upsample_conv`, up to a factor of 4.

    `x` is [N, in, H, W], `weight` [out, in, 3, 3], `bias` [out] or None; the result is [N, out, H // 2, W // 2]. A last
    row or column of an odd size is left out, as `torch.nn.functional.avg_pool2d` does. Everything else is as in
    `upsample_conv`.
    """
    if dispatch(CONV_DOWNSAMPLE, backend, x, weight, bias) is None:
        return reference.conv_downsample(x, weight, bias)
    dtype, x = cuda_library.compute_dtype(x), x.to(kernel_dtype(x, Kernels.CPU))
    small, panels = (strided_kernel(weight), None) if needs_grad(x, weight, bias) else _for_inference(weight, False)
    out = call(ops.conv4x4s2, x, small, panels, None, bias, 1.0)
    return like_reference(out.to(dtype), x, weight)


def transposed_kernel(weight: Tensor) -> Tensor:
    """(in, out, 4, 4), whose transposed convolution with stride 2 is `upsample_conv` with `weight`, (out, in, 3, 3)."""
    return _times(weight, UPSAMPLE_TAPS).transpose(0, 1)


def strided_kernel(weight: Tensor) -> Tensor:
    """(out, in, 4, 4), whose convolution with stride 2 is `conv_downsample` with `weight`, (out, in, 3, 3)."""
    return _times(weight, DOWNSAMPLE_TAPS)


Taps = tuple[tuple[float, ...], ...]


def _kronecker(axis: tuple[tuple[int, ...], ...], factor: float) -> Taps:
    """(16, 9): the taps of a 4x4 kernel as sums of those of a 3x3 kernel, by those of one axis, (4, 3)."""
    return tuple(tuple(factor * a * b for a in row for b in column) for row in axis for column in axis)


DOWNSAMPLE_TAPS = _kronecker(((1, 0, 0), (1, 1, 0), (0, 1, 1), (0, 0, 1)), 0.25)
UPSAMPLE_TAPS = _kronecker(((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0)), 1.0)


def _times(weight: Tensor, taps: Taps) -> Tensor:
    """The 4x4 kernel whose taps are `taps` times those of `weight`, in channels_last memory."""
    rows = weight.permute(0, 2, 3, 1).flatten(1, 2)  # (out, 9, in)
    with torch.autocast(weight.device.type, enabled=False):
        kernel: Tensor = (weight.new_tensor(taps) @ rows).unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    return kernel


def _for_inference(weight: Tensor, up: bool) -> tuple[Tensor, Tensor | None]:
    """The 4x4 kernel and its cached panels. With panels, an operator reads only the kernel's shape."""
    out, into = weight.shape[:2]
    few_channels = (out if up else into) <= FEW_CHANNELS  # of the big image: these kernels need no panels
    panels = None if few_channels else packed(weight, _pack_upsample if up else _pack_downsample, Kernels.CPU)
    if panels is None:
        return (transposed_kernel if up else strided_kernel)(weight), None
    return weight.detach()[:1, :1, :1, :1].expand(*((into, out) if up else (out, into)), 4, 4), panels


def _pack_upsample(weight: Tensor) -> Tensor:
    return pack_transposed(transposed_kernel(weight))


def _pack_downsample(weight: Tensor) -> Tensor:
    return pack_strided(strided_kernel(weight))
