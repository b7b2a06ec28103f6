"""The discriminator of overlapping patches, PatchGAN: Isola et al. 2017, arXiv:1611.07004, section 3.2.2."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.core.spec import DataSpec
from ganzoo.nn.blocks import ConvBNLeakyReLU
from ganzoo.nn.init import initialise
from ganzoo.ops.backend import exporting, resolve
from ganzoo.ops.dispatch import functorch_active

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
        seen = torch.cat([images, inputs], dim=1) if self.inputs and inputs is not None else images
        logits: Tensor = self.head(self.blocks(seen))
        return logits.squeeze(1)


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
