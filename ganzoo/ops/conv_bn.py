"""Fused blocks of convolutional GANs: (transposed) convolution, batch norm, activation.

They combine the operators of `ganzoo.ops.convolution` and `ganzoo.ops.batch_norm`. Each function has a reference of the
same name in `ganzoo.ops.reference`. On the CPU the native kernels work in float32, and under autocast in bfloat16 where
the processor has products of it; on a GPU in the dtypes of `ganzoo.ops.cuda_library`. Their memory is channels_last;
other strides are converted on the way in, NCHW at the cost of a copy.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.ops import reference
from ganzoo.ops.autograd import call, needs_grad
from ganzoo.ops.batch_norm import BatchNorm, fold, normalize, scale_shift_act
from ganzoo.ops.cuda_library import compute_dtype, is_cuda
from ganzoo.ops.dispatch import (
    BlockRule,
    Kernels,
    dispatch,
    kernel_dtype,
    like_reference,
)
from ganzoo.ops.linear import linear
from ganzoo.ops.packing import pack_strided, pack_transposed, packed
from ganzoo.ops.stride1 import CONV3X3_BN, CONV4X4_BN, Stride1Rule, has_stride1

ops = torch.ops.ganzoo

CONV_TRANSPOSE_BN = BlockRule(transposed=True, batch_norm=True, min_in=32, min_out=32, min_work=1 << 24)
ONE_PIXEL_BN = BlockRule(transposed=True, batch_norm=True, min_in=16, min_out=32, min_work=1 << 19, one_pixel=True)
CONV_BN = BlockRule(transposed=False, batch_norm=True, min_in=32, min_out=32, min_work=1 << 24)


def conv_transpose_bn_relu(
    x: Tensor,
    weight: Tensor,
    bn_weight: Tensor | None,
    bn_bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    stride: int,
    padding: int,
    training: bool,
    momentum: float,
    eps: float,
    backend: str = "auto",
) -> Tensor:
    """ReLU of batch norm (Ioffe & Szegedy 2015, arXiv:1502.03167) of a transposed convolution without bias.

    `x` is [N, in, H, W], `weight` [in, out, kH, kW]; the result is [N, out, H', W'], H' = (H - 1) stride - 2 padding +
    kH. `bn_weight`, `bn_bias`, `running_mean`, `running_var` are [out] or None, the last two both or neither. With
    `training` the batch is normalised by its own statistics, and the running ones (if any) become (1 - momentum) times
    themselves plus momentum times the batch's, the variance unbiased, as in `torch.nn.functional.batch_norm`; without,
    it is normalised by the running ones. The result is channels_last if `x` or `weight` is.

    Native for kernel 4, stride 2, padding 1, and for a 1 x 1 image, a matrix product; the reference computes the rest.
    Differentiable any number of times. Raises what PyTorch raises for tensors that do not fit together, UsageError for
    an unknown `backend`, and `NativeError` if `backend` is "native" and the kernels cannot compute the call.
    """
    norm = BatchNorm(bn_weight, bn_bias, running_mean, running_var)
    one_pixel = x.dim() == 4 and x.shape[2:] == (1, 1) and (padding == 0 or _is_inside(x, weight, padding))
    rule = ONE_PIXEL_BN if one_pixel else CONV_TRANSPOSE_BN
    kernels = dispatch(rule, backend, x, weight, norm, stride, padding, training)
    if kernels is None:
        return reference.conv_transpose_bn_relu(
            x, weight, *norm, stride=stride, padding=padding, training=training, momentum=momentum, eps=eps
        )
    dtype = compute_dtype(x)
    if not one_pixel:
        out = _conv_bn(rule, kernels, x.to(kernel_dtype(x, kernels)), weight, norm, training, momentum, eps, 0.0)
    else:  # a matrix product
        weight = _taps_inside(weight, padding) if padding else weight
        if kernels is Kernels.CUDA:
            y = one_pixel_product(x.to(dtype), weight, training, "reference")
        else:  # in float32, which for so few pixels is faster than rounding the weight
            with torch.autocast("cpu", enabled=False):
                y = one_pixel_product(x.float(), weight, training, backend)
        if training:
            mean, var = call(ops.channel_stats, y.detach())
            out = normalize(y, mean, var, norm, momentum, eps, 0.0)
        else:
            out = scale_shift_act(y, *fold(norm, eps), 0.0)
    return like_reference(out.to(dtype), x, weight)


def conv_bn_leaky_relu(
    x: Tensor,
    weight: Tensor,
    bn_weight: Tensor | None,
    bn_bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    stride: int = 2,
    padding: int = 1,
    slope: float = 0.2,
    training: bool,
    momentum: float,
    eps: float,
    backend: str = "auto",
) -> Tensor:
    """Leaky ReLU of batch norm of a convolution without bias: the adjoint of `conv_transpose_bn_relu`.

    `x` is [N, in, H, W], `weight` [out, in, kH, kW]; the result is [N, out, H', W'], H' = (H + 2 padding - kH) //
    stride + 1, negative values times `slope`. Everything else is as in `conv_transpose_bn_relu`; native for kernel 4,
    stride 2, padding 1, and on the CPU for kernel 3 and 4 with stride 1, padding 1.
    """
    norm = BatchNorm(bn_weight, bn_bias, running_mean, running_var)
    stride1 = has_stride1(weight, stride, padding)
    rule = (CONV3X3_BN if weight.shape[2] == 3 else CONV4X4_BN) if stride1 else CONV_BN
    kernels = dispatch(rule, backend, x, weight, norm, stride, padding, training)
    if kernels is None:
        return reference.conv_bn_leaky_relu(
            x, weight, *norm, stride=stride, padding=padding, slope=slope, training=training, momentum=momentum, eps=eps
        )
    image = x.float() if stride1 else x.to(kernel_dtype(x, kernels))
    out = _conv_bn(rule, kernels, image, weight, norm, training, momentum, eps, slope)
    return like_reference(out.to(compute_dtype(x)), x, weight)


def _conv_bn(
    rule: BlockRule, kernels: Kernels, x: Tensor, weight: Tensor, norm: BatchNorm, training: bool, momentum: float,
    eps: float, slope: float,
) -> Tensor:  # fmt: skip
    """The block on channels_last images, by the kernels of one of three convolutions."""
    pack: Callable[[Tensor], Tensor]
    size: tuple[int, ...] = ()
    residual: tuple[None, ...] = ()  # as the groups, an argument of the first alone
    groups: tuple[int, ...] = ()
    if isinstance(rule, Stride1Rule):
        convolve, with_stats, pack = ops.conv_stride1, ops.conv_stride1_stats, ops.conv_stride1_pack_weight.default
        residual, groups = (None,), (1,)
    elif rule.transposed:
        convolve, with_stats, pack = ops.conv_transpose4x4s2, ops.conv_transpose4x4s2_stats, pack_transposed
        size = (2 * x.shape[2], 2 * x.shape[3])
    else:
        convolve, with_stats, pack = ops.conv4x4s2, ops.conv4x4s2_stats, pack_strided
    if training:
        y, mean, var = call(with_stats, x, weight, *size)
        return normalize(y, mean, var, norm, momentum, eps, slope)
    scale, shift = fold(norm, eps)
    if needs_grad(x, weight, scale, shift):
        y = call(convolve, x, weight, None, None, None, *residual, 1.0, *groups, *size)
        return scale_shift_act(y, scale, shift, slope)
    # scale and shift are applied in the epilogue: the packed weight does not depend on the batch norm
    panels = packed(weight, pack, kernels)
    return call(convolve, x, weight, panels, scale, shift, *residual, slope, *groups, *size)  # type: ignore[no-any-return]


def _is_inside(x: Tensor, weight: Tensor, padding: int) -> bool:
    """Whether padding on the CPU leaves taps of a kernel that meets one pixel."""
    return not is_cuda(x) and weight.dim() == 4 and 0 < 2 * padding < min(weight.shape[2:])


def _taps_inside(weight: Tensor, padding: int) -> Tensor:
    """The taps of `weight` that padding leaves; its gradient has the memory format of channels_last."""
    # slices would be differentiated one after the other, each with zeros of its own
    return F.pad(weight.permute(0, 2, 3, 1), (0, 0, *[-padding] * 4)).permute(0, 3, 1, 2)


def one_pixel_product(x: Tensor, weight: Tensor, training: bool, backend: str) -> Tensor:
    """A transposed convolution of images of one pixel, [N, out, kH, kW] in channels_last memory."""
    if training or weight.is_contiguous(memory_format=torch.channels_last):
        product = linear(x.flatten(1), weight.permute(2, 3, 1, 0).flatten(0, 2).to(x.dtype), backend=backend)
        return product.view(-1, *weight.shape[2:], weight.shape[1]).permute(0, 3, 1, 2)
    # NCHW weights are used as they lie: to reorder them would take most of the time of a small batch
    product = linear(x.flatten(1), weight.flatten(1).t().to(x.dtype), backend=backend)
    return product.view(-1, *weight.shape[1:]).contiguous(memory_format=torch.channels_last)
