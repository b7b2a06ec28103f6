"""Convolutions whose input channels a style scales: Karras et al. 2020, arXiv:1912.04958, section 2.2."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.nn.equalised import GAIN, SLOPE, EqualisedLinear, conv_same
from ganzoo.ops import blur


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are multiplied by a linear function of a style; weights as `EqualisedConv2d`.

    (maps [N, C, H, W], styles [N, style]) -> [N, C', H, W]. `demodulate` divides by the standard deviation that outputs
    have for inputs of variance 1.
    """

    def __init__(self, inputs: int, outputs: int, style: int, kernel_size: int = 3, demodulate: bool = True):
        super().__init__()
        self.affine = EqualisedLinear(style, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / math.sqrt(inputs * kernel_size**2)
        self.demodulate = demodulate

    def convolve(self, maps: Tensor, style: Tensor, up: bool = False, gain: float = 1.0) -> Tensor:
        """Without the bias, times `gain`; `up` doubles the size, smoothed by the filter [1, 3, 3, 1]."""
        factors = self.affine(style)
        weight = self.weight * self.scale
        maps = maps * factors[:, :, None, None].to(maps.dtype)
        if up:
            hidden = blur(F.conv_transpose2d(maps, weight.transpose(0, 1), stride=2), 1, gain=4.0)
        else:
            hidden = conv_same(maps, weight)
        if not self.demodulate:
            return hidden if gain == 1 else hidden * gain
        energy = F.linear(factors.square(), weight.square().sum((2, 3)))
        return hidden * (gain * (energy + 1e-8).rsqrt())[:, :, None, None].to(hidden.dtype)

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        return self.convolve(maps, style) + self.bias[:, None, None]


class StyledConv2d(ModulatedConv2d):
    """A modulated 3x3 convolution, noise, bias and leaky ReLU: maps [N, C, side', side'] -> [N, C', side, side].

    In training the noise is drawn for every pixel; in eval mode it is always the same, so that images depend on nothing
    but the styles. It begins with strength 0. With `up`, `side` is twice side'.
    """

    noise: Tensor

    def __init__(self, inputs: int, outputs: int, style: int, side: int, up: bool = False):
        super().__init__(inputs, outputs, style)
        self.strength = nn.Parameter(torch.zeros(()))
        self.up = up
        self.register_buffer("noise", torch.randn(side, side))

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        hidden = self.convolve(maps, style, self.up, GAIN)
        noise = torch.randn_like(hidden[:, :1]) if self.training else self.noise.to(hidden.dtype)
        hidden = hidden + noise * (self.strength * GAIN) + (self.bias * GAIN)[:, None, None]
        return F.leaky_relu(hidden, SLOPE)
