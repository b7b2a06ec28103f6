"""The residual networks of SNGAN, for a range of image sizes: Miyato et al. 2018, arXiv:1802.05957, appendix B.4.

Up to 32 pixels all feature maps have the same number of channels; beyond, it doubles at every smaller scale. With
width=64 the networks are the published ones: 256 and 128 channels at 32 pixels, 64 to 1024 at 48 and 64 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.core.spec import DataSpec
from ganzoo.nn.attention import SelfAttention
from ganzoo.nn.blocks import Conv3x3, ConvDownsample2d, UpsampleConv2d
from ganzoo.nn.conditional import ConditionalBatchNorm, ProjectionHead, norm_relu
from ganzoo.nn.dcgan import Sides, stages_of

SAME_WIDTH_UP_TO = 32
"""The largest image side for which all feature maps have the same number of channels."""
Norm = Callable[[int], nn.Module]
Pool = Literal["sum", "mean"]


class UpBlock(nn.Module):
    """Norm, ReLU, 2x nearest upsampling, convolution, norm, ReLU, convolution, plus a shortcut.

    Maps [N, inputs, H, W] -> [N, outputs, 2H, 2W]. `norm` makes a norm for a number of channels; conditional ones get
    the `condition` of `forward`.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm = nn.BatchNorm2d):
        super().__init__()
        self.norm1 = norm(inputs)
        self.conv1 = UpsampleConv2d(inputs, outputs)
        self.norm2 = norm(outputs)
        self.conv2 = Conv3x3(outputs, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor, condition: Tensor | None = None) -> Tensor:
        hidden = self.conv1(norm_relu(self.norm1, maps, condition))
        hidden = norm_relu(self.norm2, hidden, condition)
        # a 1x1 convolution and nearest upsampling commute: four times fewer products this way round
        result: Tensor = self.conv2(hidden, F.interpolate(self.shortcut(maps), scale_factor=2.0))
        return result


class DownBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, plus a shortcut; both averaged over 2x2 pixels if `down`.

    Maps [N, inputs, H, W] -> [N, outputs, H/2, W/2] or [N, outputs, H, W]. The `first` block, on images, has no ReLU
    before its first convolution.
    """

    def __init__(self, inputs: int, outputs: int, down: bool = True, first: bool = False):
        super().__init__()
        self.down, self.first = down, first
        hidden = outputs if first else inputs
        self.conv1 = Conv3x3(inputs, hidden, slope=0.0)  # with its ReLU
        self.conv2 = ConvDownsample2d(hidden, outputs) if down else Conv3x3(hidden, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if down or inputs != outputs else None

    def forward(self, maps: Tensor) -> Tensor:
        hidden = self.conv1(maps if self.first else F.relu(maps))
        if self.down:  # a 1x1 convolution and averaging commute
            maps = F.avg_pool2d(maps, 2)
        shortcut = maps if self.shortcut is None else self.shortcut(maps)
        result: Tensor = self.conv2(hidden) + shortcut if self.down else self.conv2(hidden, shortcut)
        return result


class Generator(nn.Module):
    """z [N, latent_dim] -> [N, C_0, *base] -> ... -> [N, C_k, H, W] -> images [N, C, H, W].

    With `classes`, every norm but the last takes its scale and shift from the labels. With `attention`, the feature
    maps of half the image's side are followed by self-attention.
    """

    def __init__(self, latent_dim: int, width: int, spec: DataSpec, classes: int = 0, attention: bool = False):
        super().__init__()
        widths, base = generator_widths(width, spec)

        def norm(channels: int) -> nn.Module:
            return ConditionalBatchNorm(channels, classes) if classes else nn.BatchNorm2d(channels)

        self.start = nn.Linear(latent_dim, widths[0] * math.prod(base))
        self.shape = (widths[0], *base)
        self.blocks = nn.ModuleList(UpBlock(inputs, outputs, norm) for inputs, outputs in zip(widths, widths[1:]))
        self.attention = SelfAttention(widths[-2]) if attention else nn.Identity()
        self.norm = nn.BatchNorm2d(widths[-1])
        self.image = Conv3x3(widths[-1], spec.channels)
        initialise(self)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        maps = self.start(z).unflatten(1, self.shape)
        *inner, last = self.blocks
        for block in inner:
            maps = block(maps, condition)
        maps = last(self.attention(maps), condition)
        images: Tensor = self.image(norm_relu(self.norm, maps))
        return images.tanh()


class Discriminator(nn.Module):
    """Images [N, C, H, W] -> residual blocks -> features [N, C'], pooled over pixels -> logits [N].

    With `classes`, the logits include the projection of the features on the label's embedding. With `attention`, the
    first block, whose maps have half the image's side, is followed by self-attention.
    """

    def __init__(self, width: int, spec: DataSpec, classes: int = 0, attention: bool = False, pool: Pool = "sum"):
        super().__init__()
        self.pool = pool
        widths, downs = discriminator_widths(width, spec)
        blocks = [
            DownBlock(inputs, outputs, down=stage < downs, first=stage == 0)
            for stage, (inputs, outputs) in enumerate(zip([spec.channels, *widths], widths))
        ]
        self.blocks = nn.Sequential(blocks[0], *([SelfAttention(widths[0])] if attention else []), *blocks[1:])
        self.head = ProjectionHead(widths[-1], classes)
        initialise(self)

    def features(self, images: Tensor) -> Tensor:
        """The pooled features [N, C'] that the head sees."""
        maps = F.relu(self.blocks(images))
        return maps.sum((2, 3)) if self.pool == "sum" else maps.mean((2, 3))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = self.head(self.features(images), condition)
        return logits


def generator_widths(width: int, spec: DataSpec) -> tuple[list[int], Sides]:
    """Channels of the generator's feature maps, smallest map first, and height and width of the smallest map.

    Raises UsageError, with the nearest possible sizes, for a size that doubling 4 to 7 pixels does not reach.
    """
    base, doublings = stages_of(spec)
    if max(spec.shape[1:]) <= SAME_WIDTH_UP_TO:
        return [4 * width] * (doublings + 1), base
    return [width * min(1 << stage, 16) for stage in range(doublings, -1, -1)], base


def discriminator_widths(width: int, spec: DataSpec) -> tuple[list[int], int]:
    """Channels of the discriminator's blocks, and how many of them halve the side. Raises as `generator_widths`."""
    base, doublings = stages_of(spec)
    if max(spec.shape[1:]) <= SAME_WIDTH_UP_TO:
        return [2 * width] * 4, min(doublings, 2)
    downs = doublings + (set(base) == {6})  # 48 pixels end at 3, as published
    return [width * min(1 << stage, 16) for stage in range(downs + 1)], downs


def initialise(network: nn.Module) -> None:
    """Xavier-uniform weights, with gain sqrt(2) for the 3x3 convolutions of residual blocks, and biases 0, in place."""
    inner = {
        conv
        for module in network.modules()
        if isinstance(module, (UpBlock, DownBlock))
        for conv in (module.conv1, module.conv2)
    }
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight, math.sqrt(2) if module in inner else 1.0)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
