"""The convolutional networks of Radford et al. 2016, arXiv:1511.06434, for a range of image sizes."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.nn.blocks import ConvBNLeakyReLU, ConvHead, ConvTransposeBNReLU, ConvTransposeTanh
from ganzoo.nn.conditional import ConditionalBatchNorm
from ganzoo.nn.generator_plan import GeneratorChain
from ganzoo.nn.init import initialise
from ganzoo.nn.mlp import Linear

CLASSIC_BASE = 4
"""Radford et al. end with 4x4 feature maps, whose receptive field is 46 of the 64 pixels of a side."""
HIDDEN_UNITS = 256
"""Width of the fully connected layer that follows larger feature maps."""


def stages(size: int) -> tuple[int, int]:
    """Factor `size` into (base, doublings), size = base * 2**doublings with base in 4..7: 64 -> (4, 4), 28 -> (7, 2).

    Raises UsageError, with the nearest possible sizes, if there is no such factorisation.
    """
    possible = sorted(base << doublings for base in (4, 5, 6, 7) for doublings in range(1, 9))
    for doublings in range(1, 9):
        base, rest = divmod(size, 1 << doublings)
        if rest == 0 and 4 <= base <= 7:
            return base, doublings
    nearest = " or ".join(str(s) for s in sorted(sorted(possible, key=lambda s: abs(s - size))[:2]))
    raise UsageError(
        f"Image size {size} cannot be reached by doubling 4, 5, 6 or 7 pixels. Set image_size={nearest} instead."
    )


Sides = tuple[int, int]
"""Height and width."""


def stages_of(spec: DataSpec) -> tuple[Sides, int]:
    """Factor the images' height and width into (base, doublings), of which the shorter side of the base is in 4..7.

    48 x 64 -> ((6, 8), 3), 64 x 64 -> ((4, 4), 4). Raises UsageError, with the nearest possible sizes, if there is no
    such factorisation.
    """
    _, height, width = spec.shape
    if height == width:
        base, doublings = stages(height)
        return (base, base), doublings
    for doublings in range(1, 9):
        scale = 1 << doublings
        if height % scale == width % scale == 0 and 4 <= min(height, width) // scale <= 7:
            return (height // scale, width // scale), doublings
    nearest = " or ".join(f"{h}x{w}" for h, w in _nearest_sizes(height, width))
    raise UsageError(
        f"Images of {height}x{width} pixels (height x width) cannot be reached by doubling smaller ones, of which the "
        f"shorter side is 4, 5, 6 or 7. Choose {nearest} instead; data sets of files scale and crop to it: "
        f"folder:size={nearest.split()[0]}:PATH."
    )


def _nearest_sizes(height: int, width: int) -> list[Sides]:
    sizes = set()
    for doublings in range(1, 9):
        scale = 1 << doublings
        for bases in itertools.product(*({side // scale, side // scale + 1} for side in (height, width))):
            shorter = min(bases)
            if 4 <= shorter <= 7:
                sizes.add((bases[0] * scale, bases[1] * scale))
    if not sizes:  # far below or beyond what can be doubled
        side = 8 if min(height, width) < 8 else 7 << 8
        sizes = {(side, side)}
    return sorted(sorted(sizes, key=lambda size: abs(size[0] - height) + abs(size[1] - width))[:2])


def channels(width: int, doublings: int) -> list[int]:
    """Channels of the feature maps, largest map first: width, 2 width, 4 width, ... up to 16 width."""
    return [width * min(1 << stage, 16) for stage in range(doublings)]


class Generator(nn.Module):
    """z [N, inputs] -> [N, 2^(k-1) width, *base] -> ... -> [N, width, H/2, W/2] -> images [N, C, H, W]."""

    def __init__(self, inputs: int, width: int, spec: DataSpec):
        super().__init__()
        base, doublings = stages_of(spec)
        widths = channels(width, doublings)
        self.blocks = GeneratorChain(
            ConvTransposeBNReLU(inputs, widths[-1], kernel_size=base, stride=1, padding=0),
            *(ConvTransposeBNReLU(inner, outer) for outer, inner in reversed(list(zip(widths, widths[1:])))),
            ConvTransposeTanh(width, spec.channels, bias=False),
        )
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.blocks(z[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """[N, C, H, W] -> halved down to [N, 2^(k-1) width, *base] -> logits [N]. The first layer has no norm.

    If the last feature maps are larger than 4x4, their receptive field is less than half of the image (10 of 28 pixels
    of a side), too little for a weighted sum to tell whether strokes form a digit. A fully connected hidden layer then
    precedes the logit.
    """

    def __init__(self, width: int, spec: DataSpec, norm: bool = True, hidden_norm: bool = True):
        super().__init__()
        base, doublings = stages_of(spec)
        widths = channels(width, doublings)
        self.blocks = nn.Sequential(
            ConvBNLeakyReLU(spec.channels, width, norm=False),
            *(ConvBNLeakyReLU(outer, inner, norm) for outer, inner in zip(widths, widths[1:])),
        )
        features = widths[-1]
        if max(base) > CLASSIC_BASE:
            self.blocks.append(hidden_layer(features * math.prod(base), norm and hidden_norm))
            features, base = HIDDEN_UNITS, (1, 1)
        self.head = ConvHead(features, 1, base)
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))
        return logits.flatten()


def hidden_layer(inputs: int, norm: bool) -> nn.Sequential:
    """A fully connected layer on feature maps [N, C, h, w] of `inputs` values each -> [N, HIDDEN_UNITS, 1, 1]."""
    return nn.Sequential(
        nn.Flatten(),
        Linear(inputs, HIDDEN_UNITS, bias=not norm),
        *([nn.BatchNorm1d(HIDDEN_UNITS)] if norm else []),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Unflatten(1, (HIDDEN_UNITS, 1, 1)),
    )


class TwoHeadedDiscriminator(Discriminator):
    """DCGAN's discriminator with an auxiliary head on the same features, for `ganzoo.gan.AuxiliaryGAN`.

    The auxiliary head predicts the condition of the images, so `forward` ignores the condition.
    """

    def __init__(self, width: int, spec: DataSpec, outputs: int, norm: bool = True):
        super().__init__(width, spec, norm)
        self.reader = ConvHead(self.head.in_channels, outputs, self.head.kernel_size)
        initialise(self.reader)

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N] and the auxiliary head's predictions [N, outputs]."""
        maps = self.blocks(images)
        return self.head(maps).flatten(), self.reader(maps).flatten(1)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.predict(images)[0]


class ConditionalStage(nn.Module):
    """ConvTranspose2d, `ConditionalBatchNorm`, ReLU: maps [N, inputs, H, W] and labels [N] -> [N, outputs, H', W']."""

    def __init__(
        self, inputs: int, outputs: int, classes: int, kernel_size: int | Sides = 4, stride: int = 2, padding: int = 1
    ):
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, kernel_size, stride, padding, bias=False)
        self.norm = ConditionalBatchNorm(outputs, classes)
        nn.init.normal_(self.conv.weight, 0.0, 0.02)

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        result: Tensor = self.norm(self.conv(maps), labels).relu_()
        return result


class ConditionalGenerator(nn.Module):
    """DCGAN's generator with conditional batch norm: (z [N, inputs], labels [N]) -> images [N, C, H, W]."""

    def __init__(self, inputs: int, width: int, spec: DataSpec, classes: int):
        super().__init__()
        base, doublings = stages_of(spec)
        widths = channels(width, doublings)
        self.blocks = nn.ModuleList([ConditionalStage(inputs, widths[-1], classes, base, 1, 0)])
        for outer, inner in reversed(list(zip(widths, widths[1:]))):
            self.blocks.append(ConditionalStage(inner, outer, classes))
        self.image = ConvTransposeTanh(width, spec.channels, bias=False)
        initialise(self.image)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        maps = z[:, :, None, None]
        for block in self.blocks:
            maps = block(maps, labels)
        images: Tensor = self.image(maps)
        return images


class ProjectionDiscriminator(Discriminator):
    """DCGAN's discriminator whose logits include <E(label), h>, h the last feature maps summed over their pixels.

    Miyato and Koyama 2018, arXiv:1802.05637, eq. 8.
    """

    def __init__(self, width: int, spec: DataSpec, classes: int, norm: bool = True):
        super().__init__(width, spec, norm)
        self.embed = nn.Embedding(classes, self.head.in_channels)
        initialise(self.embed)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        maps = self.blocks(images)
        logits: Tensor = self.head(maps).flatten() + (self.embed(labels) * maps.sum((2, 3))).sum(1)
        return logits
