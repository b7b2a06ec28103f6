"""Layers of progressive GANs and StyleGAN: equalised learning rates, resampling by a filter, minibatch statistics."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.ops import blur, conv1x1, conv3x3
from ganzoo.ops.reference import binomial_filter, leaky_relu

GAIN = math.sqrt(2)
"""The factor that keeps the variance of activations behind a leaky ReLU."""
SLOPE = 0.2


class EqualisedLinear(nn.Module):
    """A linear layer whose weights are N(0, 1) and multiplied by 1 / sqrt(inputs): Karras et al. 2018, section 4.1.

    So Adam's steps are equally large, relative to the weights, in all layers: arXiv:1710.10196. Steps are `rate` times
    as large. [N, inputs] -> [N, outputs].
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.rate == 1 else self.bias * self.rate
        return F.linear(x, self.weight * self.scale, bias)


class EqualisedConv2d(nn.Module):
    """A convolution with an equalised learning rate, like `EqualisedLinear`: [N, C, H, W] -> [N, C', H, W].

    With `down`, the maps are filtered by [1, 3, 3, 1] and halved: [N, C', H/2, W/2]. With `activate`, `leaky` follows.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, bias: bool = True, down: bool = False, activate: bool = False
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel_size**2)
        self.padding, self.down, self.activate = kernel_size // 2, down, activate

    def forward(self, x: Tensor) -> Tensor:
        gain = GAIN if self.activate else 1.0  # of weight and bias instead of all results
        weight, bias = self.weight * (self.scale * gain), None if self.bias is None else self.bias * gain
        slope = SLOPE if self.activate else 1.0
        if self.down:
            return leaky_relu(F.conv2d(blur(x, self.padding + 1), weight, bias, stride=2), slope)
        return conv_same(x, weight, bias, slope)


class MinibatchStddev(nn.Module):
    """One more feature map: the mean standard deviation of the features among `group` images: Karras et al. 2018, 3.

    [N, C, H, W] -> [N, C + 1, H, W]. Groups are consecutive images; if `group` does not divide N, they are smaller.
    """

    def __init__(self, group: int = 4):
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        group = next(size for size in range(min(self.group, n), 0, -1) if n % size == 0)
        groups = x.float().unflatten(0, (n // group, group))
        variance = (groups - groups.mean(1, keepdim=True)).square().mean(1)  # `var` takes ten times as long on a CPU
        mean = (variance + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(group)
        return torch.cat([x, mean.to(x.dtype)[:, None, None, None].expand(-1, 1, *x.shape[2:])], dim=1)


def conv_same(x: Tensor, weight: Tensor, bias: Tensor | None = None, slope: float = 1.0) -> Tensor:
    """Leaky ReLU of a convolution with an odd kernel that keeps the size: native for kernels of 3 and 1."""
    kernel = weight.shape[2]
    if kernel in (1, 3):
        return (conv3x3 if kernel == 3 else conv1x1)(x, weight, bias, slope=slope)
    return leaky_relu(F.conv2d(x, weight, bias, padding=kernel // 2), slope)


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, times sqrt(2)."""
    return F.leaky_relu(x, SLOPE) * GAIN


def unit_length(x: Tensor) -> Tensor:
    """Vectors or pixels [N, C, ...] divided by the root of their mean square over the channels."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def upsample(x: Tensor) -> Tensor:
    """Maps [N, C, H, W] doubled in size with the filter [1, 3, 3, 1]: bilinear, with zeros beyond the edge."""
    return F.conv_transpose2d(x, binomial_filter(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def downsample(x: Tensor) -> Tensor:
    """Maps [N, C, H, W] halved in size after the filter [1, 3, 3, 1], with zeros beyond the edge."""
    return F.conv2d(x, binomial_filter(x, 1.0), stride=2, padding=1, groups=x.shape[1])
