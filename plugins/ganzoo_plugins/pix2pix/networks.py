"""The U-Net and the objective of Isola et al. 2017, arXiv:1611.07004, for images whose sides are even."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.errors import UsageError
from ganzoo.gan import GAN, Logs
from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU, ConvTransposeTanh, Dropout, initialise
from ganzoo.plugin import DataSpec
from ganzoo_plugins.pix2pix import Pix2PixConfig

DROPOUT_STAGES = 3
"""Of the upward stages, those next to the innermost one have dropout; that of a single pixel has none."""


class L1GAN(GAN):
    """The generator also minimises the L1 distance from the true image, eq. 4; D's objective is halved, section 3.3."""

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Logs]:
        adversarial, logs = super().generator_loss(real, fake, condition)
        l1 = (fake.float() - real).abs().mean()
        return adversarial + self.config.l1_weight * l1, {**logs, "l1": l1.detach()}

    def discriminator_objective(self, on_real: Tensor | None, on_fake: Tensor | None) -> tuple[Tensor, Logs]:
        value, logs = super().discriminator_objective(on_real, on_fake)
        return value / 2, logs


class UNet(nn.Module):
    """(z, inputs [N, C', H, W]) -> images [N, C, H, W]. The noise z is not used.

    It halves the image as often as both sides can be halved, to 1 pixel if they are powers of 2; a larger innermost map
    passes a 3x3 convolution. Every upward stage also receives the downward stage of its size, after a ReLU.
    """

    def __init__(self, config: Pix2PixConfig, spec: DataSpec):
        super().__init__()
        times = halvings(spec, config.halvings)
        widths = [config.width * min(1 << stage, 8) for stage in range(times)]
        bottom, channels = widths[-1], [spec.inputs, *widths]
        self.down = nn.ModuleList([ConvBNLeakyReLU(channels[0], widths[0], norm=False, bias=False)])
        self.down.extend(ConvBNLeakyReLU(outer, inner) for outer, inner in zip(widths[:-2], widths[1:-1]))
        if times > 1:  # no norm in the innermost layer, which may have one pixel
            self.down.append(ConvBNLeakyReLU(widths[-2], bottom, norm=False, slope=0.0, bias=False))
        whole = min(spec.shape[1:]) >> times == 1
        self.bottom = nn.Identity() if whole else nn.Sequential(nn.Conv2d(bottom, bottom, 3, padding=1), nn.ReLU())
        inner = [bottom, *(2 * width for width in reversed(widths[1:-1]))]
        self.up = nn.ModuleList(ConvTransposeBNReLU(i, o) for i, o in zip(inner, reversed(widths[:-1])))
        dropped = range(int(whole), int(whole) + DROPOUT_STAGES)
        self.dropout = nn.ModuleList(
            Dropout(config.dropout if stage in dropped else 0.0) for stage in range(len(self.up))
        )
        self.last = ConvTransposeTanh(2 * widths[0] if times > 1 else bottom, spec.channels)
        initialise(self)

    def forward(self, z: Tensor, inputs: Tensor) -> Tensor:
        skips: list[Tensor] = []
        maps = inputs
        for stage in self.down:
            maps = stage(maps)
            skips.append(maps)
        skips.pop()
        maps = self.bottom(maps)
        for stage, dropout in zip(self.up, self.dropout):
            maps = torch.cat([F.relu(skips.pop()), dropout(stage(maps))], dim=1)
        images: Tensor = self.last(maps)
        return images


def halvings(spec: DataSpec, limit: int) -> int:
    """How often both sides of an image can be halved, at most `limit`. Raises UsageError if they cannot."""
    height, width = spec.shape[1:]
    if min(height, width) < 4 or height % 2 or width % 2:
        even = max(4, min(height, width) // 2 * 2)
        raise UsageError(
            f"Image size {height}x{width} cannot be halved: pix2pix needs even sides of 4 or more pixels. "
            f"Set image_size={even} instead."
        )
    common = math.gcd(height, width)
    return min(limit, (common & -common).bit_length() - 1)
