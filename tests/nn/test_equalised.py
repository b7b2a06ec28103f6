"""Layers of StyleGAN against their formulas, with the native kernels and without."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo import ops
from ganzoo.nn import EqualisedConv2d, MinibatchStddev, ModulatedConv2d, StyledConv2d
from ganzoo.nn.equalised import leaky
from ganzoo.ops.reference import blur
from tests.ops.conftest import close, needs_native, random, shaken

BACKENDS = ["auto", pytest.param("native", marks=needs_native), "reference"]
CHANNELS, OUTPUTS, STYLE = 40, 48, 6


def channels_last(*shape: int) -> Tensor:
    return random(torch.Generator().manual_seed(1), *shape, layout="channels_last")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activate", [True, False])
@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_an_equalised_convolution(kernel: int, bias: bool, down: bool, activate: bool, backend: str) -> None:
    layer = shaken(EqualisedConv2d(CHANNELS, OUTPUTS, kernel, bias, down, activate))
    x = channels_last(4, CHANNELS, 16, 16)
    weight = layer.weight.double() / math.sqrt(CHANNELS * kernel**2)
    exact = blur(x.double(), kernel // 2 + 1, 1.0) if down else x.double()
    stride, padding = (2, 0) if down else (1, kernel // 2)
    exact = F.conv2d(exact, weight, layer.bias.double() if bias else None, stride, padding)
    with ops.use_backend(backend):
        close(layer(x), leaky(exact) if activate else exact)


def modulated(layer: ModulatedConv2d, maps: Tensor, styles: Tensor, up: bool) -> Tensor:
    """Equations 1 and 3 of arXiv:1912.04958, image by image, without the bias."""
    results = []
    for image, style in zip(maps.double(), styles.double()):
        factors = F.linear(style, layer.affine.weight.double() * layer.affine.scale, layer.affine.bias.double())
        weight = layer.weight.double() * layer.scale * factors[:, None, None]
        if layer.demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            result = blur(F.conv_transpose2d(image[None], weight.transpose(0, 1), stride=2), 1, 4.0)
        else:
            result = F.conv2d(image[None], weight, padding=weight.shape[2] // 2)
        results.append(result)
    return torch.cat(results)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("kernel", "demodulate"), [(1, False), (3, True), (3, False), (5, True)])
def test_a_modulated_convolution(kernel: int, demodulate: bool, backend: str) -> None:
    layer = shaken(ModulatedConv2d(CHANNELS, OUTPUTS, STYLE, kernel, demodulate))
    maps, styles = channels_last(4, CHANNELS, 16, 16), torch.randn(4, STYLE)
    with ops.use_backend(backend):
        exact = modulated(layer, maps, styles, up=False)
        close(layer(maps, styles), exact + layer.bias.double()[:, None, None])
        close(layer.convolve(maps, styles, gain=2.0), 2 * exact)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("up", [True, False])
def test_a_styled_convolution(up: bool, backend: str) -> None:
    layer = shaken(StyledConv2d(CHANNELS, OUTPUTS, STYLE, 32 if up else 16, up)).eval()
    with torch.no_grad():
        layer.strength.fill_(0.5)
    maps, styles = channels_last(4, CHANNELS, 16, 16), torch.randn(4, STYLE)
    hidden = modulated(layer, maps, styles, up) + 0.5 * layer.noise.double() + layer.bias.double()[:, None, None]
    with ops.use_backend(backend):
        close(layer(maps, styles), leaky(hidden))


@pytest.mark.parametrize(("images", "size"), [(8, 4), (6, 3), (5, 1), (1, 1)])
def test_the_standard_deviation_within_groups(images: int, size: int) -> None:
    x = channels_last(images, 6, 4, 5)
    out = MinibatchStddev(4)(x)
    assert torch.equal(out[:, :6], x)
    groups = x.double().unflatten(0, (images // size, size))
    exact = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(size)
    close(out[:, 6], exact[:, None, None].expand(images, 4, 5))
