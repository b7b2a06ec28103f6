"""The discriminator of overlapping patches, PatchGAN: Isola et al. 2017, arXiv:1611.07004, section 3.2.2."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.core.spec import DataSpec
from ganzoo.nn.batch_norm import is_stock
from ganzoo.nn.blocks import ConvBNLeakyReLU
from ganzoo.nn.init import initialise
from ganzoo.ops.autograd import functorch_active
from ganzoo.ops.backend import exporting, resolve
from ganzoo.ops.convolution import conv_leaky_relu
from ganzoo.ops.dispatch import FEW_CHANNELS

PatchNorm = Literal["batch", "instance", "none"]
SMALLEST = 3
"""The side of the feature maps that the two layers of stride 1 need."""


class PatchDiscriminator(nn.Module):
    """(images [N, C, H, W], inputs) -> a logit for each overlapping patch, [N, h, w].

    `halvings` convolutions of stride 2, as far as the image is large enough, and two of stride 1, all 4x4; 3 halvings
    make patches of 70x70 pixels. With `inputs` channels it is conditional: it sees the input [N, inputs, H, W] beside
    the image. There is no norm in the first layer. H and W are at least 4.
    """

    def __init__(self, spec: DataSpec, width: int, halvings: int, norm: PatchNorm = "batch", inputs: int = 0):
        super().__init__()
        side = min(spec.shape[1:])
        halvings = next(times for times in range(halvings, -1, -1) if side >> times >= SMALLEST)
        widths = [width * min(1 << stage, 8) for stage in range(halvings + 1)]
        channels = [spec.channels + inputs, *widths]
        self.inputs = inputs
        self.blocks = nn.Sequential(
            *(
                _block(outer, inner, norm if stage else "none", stride=2 if stage < halvings else 1)
                for stage, (outer, inner) in enumerate(zip(channels, widths))
            )
        )
        self.head = ConvToOne(widths[-1], 4, padding=1)
        initialise(self)

    def forward(self, images: Tensor, inputs: Tensor | None = None) -> Tensor:
        if not self.inputs or inputs is None:
            maps = self.blocks(images)
        elif _has_kernels(self.blocks[0], images, inputs):
            maps = self.blocks[1:](_side_by_side(self.blocks[0], images, inputs))
        else:
            maps = self.blocks(torch.cat([images, inputs], dim=1))
        logits: Tensor = self.head(maps)
        return logits.squeeze(1)


def _has_kernels(block: Any, images: Tensor, inputs: Tensor) -> bool:
    """Whether there are kernels for each of the two images, which have few channels, and not for both together."""
    kinds = (ConvBNLeakyReLU, nn.Conv2d, nn.LeakyReLU)
    if not all(is_stock(module, kind) for module, kind in zip((block, *block), kinds)):
        return False
    few = max(images.shape[1], inputs.shape[1]) <= FEW_CHANNELS < images.shape[1] + inputs.shape[1]
    on_cpu = images.is_cpu and inputs.is_cpu
    native = not functorch_active() and resolve("auto") != "reference" and not exporting()
    return few and on_cpu and native and block[0].stride == (2, 2) and block[0].padding == (1, 1)


def _side_by_side(block: Any, images: Tensor, inputs: Tensor) -> Tensor:
    """The block without norm of images and inputs side by side: the sum of their convolutions."""
    conv, act = block
    parts = conv.weight.split([images.shape[1], inputs.shape[1]], dim=1)
    of_images, of_inputs = (part.contiguous(memory_format=torch.channels_last) for part in parts)
    sum_of_images = conv_leaky_relu(images, of_images, conv.bias, slope=1.0)
    sums = sum_of_images + conv_leaky_relu(inputs, of_inputs, None, slope=1.0)
    result: Tensor = act(sums)
    return result


class ConvToOne(nn.Conv2d):
    """Conv2d with stride 1 to a single channel, computed on the CPU as a product of all pixels with all taps.

    Input [N, in_channels, H, W], output [N, 1, H', W'] with H' = H + 2 padding - kernel_size + 1. Each output then
    sums the products that belong to it: as a convolution, it would use a single lane of the processor's vectors.
    The state dict is that of nn.Conv2d.
    """

    def __init__(self, in_channels: int, kernel_size: int, padding: int):
        super().__init__(in_channels, 1, kernel_size, padding=padding)

    def forward(self, input: Tensor) -> Tensor:
        if not input.is_cpu or functorch_active() or resolve("auto") == "reference" or exporting():
            return super().forward(input)
        if input.dim() != 4 or not input.is_contiguous(memory_format=torch.channels_last):
            return super().forward(input)
        kernel, padding = self.kernel_size[0], int(self.padding[0])
        taps = self.weight[0].permute(1, 2, 0).flatten(0, 1).flip(0)  # [taps, channels]: `fold` counts them backwards
        products = F.linear(input.permute(0, 2, 3, 1).flatten(1, 2), taps)  # [N, pixels, taps]
        size = tuple(side + 2 * padding - kernel + 1 for side in input.shape[2:])
        sums = F.fold(products.transpose(1, 2), size, kernel, padding=kernel - 1 - padding)
        return sums if self.bias is None else sums + self.bias.to(sums.dtype)[:, None, None]


def _block(inputs: int, outputs: int, norm: PatchNorm, stride: int) -> nn.Module:
    if norm != "instance":
        return ConvBNLeakyReLU(inputs, outputs, norm == "batch", stride=stride)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 4, stride, 1), nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)
    )
