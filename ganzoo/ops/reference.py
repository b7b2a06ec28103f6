"""The fused operations in plain PyTorch: what the native kernels must equal, and the fallback."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
) -> Tensor:
    """relu(batch_norm(conv_transpose2d(x))): arguments and errors are those of `ganzoo.ops.conv_transpose_bn_relu`."""
    y = _batch(F.conv_transpose2d(x, weight, None, stride, padding))
    return F.relu(F.batch_norm(y, running_mean, running_var, bn_weight, bn_bias, training, momentum, eps), inplace=True)


def conv_bn_leaky_relu(
    x: Tensor,
    weight: Tensor,
    bn_weight: Tensor | None,
    bn_bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    stride: int,
    padding: int,
    slope: float,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """leaky_relu(batch_norm(conv2d(x))): arguments and errors are those of `ganzoo.ops.conv_bn_leaky_relu`."""
    y = _batch(F.conv2d(x, weight, None, stride, padding))
    y = F.batch_norm(y, running_mean, running_var, bn_weight, bn_bias, training, momentum, eps)
    return F.leaky_relu(y, slope, inplace=slope >= 0)


def batch_norm_leaky_relu(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    slope: float,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """leaky_relu(batch_norm(x)): arguments and errors are those of `ganzoo.ops.batch_norm_leaky_relu`."""
    x = _batch(x)
    if (weight is None or weight.dim() == 1) and (bias is None or bias.dim() == 1):
        y = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
        return F.leaky_relu(y, slope) if slope else F.relu(y)
    y = F.batch_norm(x, running_mean, running_var, None, None, training, momentum, eps)
    if weight is None or bias is None:
        y = y * weight[..., None, None] if bias is None else y + bias[..., None, None]  # type: ignore[index]
    else:
        y = torch.addcmul(bias[..., None, None], weight[..., None, None], y)
    return F.leaky_relu(y, slope) if slope else F.relu(y)


def conv_leaky_relu(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int, slope: float
) -> Tensor:
    """leaky_relu(conv2d(x) + bias): arguments and errors are those of `ganzoo.ops.conv_leaky_relu`."""
    # in place, PyTorch cannot differentiate a negative slope
    return F.leaky_relu(F.conv2d(x, weight, bias, stride, padding), slope, inplace=slope >= 0)


def conv_transpose_tanh(x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int) -> Tensor:
    """tanh(conv_transpose2d(x) + bias): arguments and errors are those of `ganzoo.ops.conv_transpose_tanh`."""
    return F.conv_transpose2d(x, weight, bias, stride, padding).tanh_()


def upsample_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """conv2d(upsample(x)): arguments and errors are those of `ganzoo.ops.upsample_conv`."""
    # an image without a batch, which interpolate would take for a batch of lines
    if isinstance(x, Tensor) and x.dim() == 3:
        return upsample_conv(x[None], weight, bias)[0]
    return F.conv2d(F.interpolate(x, scale_factor=2.0), weight, bias, padding=1)


def conv_downsample(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """avg_pool2d(conv2d(x)): arguments and errors are those of `ganzoo.ops.conv_downsample`."""
    return F.avg_pool2d(F.conv2d(x, weight, bias, padding=1), 2)


def conv1x1(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, residual: Tensor | None, input_slope: float, slope: float
) -> Tensor:
    """leaky_relu(conv2d(leaky_relu(x)) + residual): arguments and errors are those of `ganzoo.ops.conv1x1`."""
    y = F.conv2d(leaky_relu(x, input_slope), weight, bias)
    return leaky_relu(y if residual is None else y + residual, slope)


def product1x1(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, residual: Tensor | None, input_slope: float, slope: float
) -> Tensor:
    """`conv1x1` as the product of the matrix of all pixels, for images in channels_last memory."""
    if weight.shape[1:] != (x.shape[1], 1, 1) or (bias is not None and bias.shape != weight.shape[:1]):
        return conv1x1(x, weight, bias, residual=residual, input_slope=input_slope, slope=slope)  # PyTorch refuses it
    pixels = F.linear(leaky_relu(x, input_slope).permute(0, 2, 3, 1), weight.flatten(1), bias)
    y = pixels.permute(0, 3, 1, 2)
    return leaky_relu(y if residual is None else y + residual, slope)


def conv3x3(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, residual: Tensor | None, slope: float, groups: int = 1
) -> Tensor:
    """leaky_relu(conv2d(x) + residual): arguments and errors are those of `ganzoo.ops.conv3x3`."""
    y = F.conv2d(x, weight, bias, padding=1, groups=groups)
    return leaky_relu(y if residual is None else y + residual, slope)


def leaky_relu(y: Tensor, slope: float) -> Tensor:
    """A leaky ReLU; a slope of 1 means none."""
    if slope == 1:
        return y
    return F.leaky_relu(y, slope) if slope else F.relu(y)


def blur(x: Tensor, padding: int, gain: float) -> Tensor:
    """conv2d of each channel: arguments and errors are those of `ganzoo.ops.blur`."""
    return F.conv2d(x, binomial_filter(x, gain), padding=padding, groups=x.shape[1])


def binomial_filter(x: Tensor, gain: float) -> Tensor:
    """The filter [1, 3, 3, 1] in both directions, [C, 1, 4, 4], for maps `x` of C channels; its sum is `gain`."""
    k = torch.arange(4, device=x.device, dtype=x.dtype)
    row = 1 + k * (3 - k)  # computed where it is used: a copy from the CPU would make it wait for a GPU
    return (row[:, None] * row * (gain / 64)).expand(x.shape[1], 1, 4, 4)


def _batch(y: Tensor) -> Tensor:
    """`y`, if it is a batch of images, as nn.BatchNorm2d demands; F.batch_norm would take channels for images."""
    if y.dim() != 4:
        raise ValueError(f"expected 4D input (got {y.dim()}D input)")
    return y
