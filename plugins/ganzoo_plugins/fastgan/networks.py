"""The networks of Liu et al. 2021, arXiv:2101.04775, appendix D, for a range of image sizes.

With width=64 they are those of the authors' code for 256, 512 and 1024 pixels. Convolutions have no bias.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.nn import initialise
from ganzoo.nn.dcgan import Sides, stages_of
from ganzoo.plugin import DataSpec
from ganzoo_plugins.fastgan import FastGANConfig

SCALES = (16, 8, 4, 2, 2, 1, 0.5, 0.25, 0.125)
"""Channels of the generator's feature maps in units of the width, smallest map first."""
SMALL_STAGE = 5
"""The small images have at most this many doublings: 128 pixels."""
EXCITED = 4
"""The generator's first maps of so many sizes excite larger ones, each the one this many doublings further."""


class Generator(nn.Module):
    """z [N, latent_dim] -> images [N, C, H, W]; tanh keeps them in range."""

    def __init__(self, config: FastGANConfig, spec: DataSpec):
        super().__init__()
        base, doublings = stages_of(spec)
        widths = [max(1, int(scale * config.width)) for scale in SCALES[: doublings + 1]]
        self.start = nn.Sequential(
            nn.ConvTranspose2d(config.latent_dim, 2 * widths[0], base, bias=False),
            nn.BatchNorm2d(2 * widths[0]),
            nn.GLU(dim=1),
        )
        self.stages = nn.ModuleList(
            up(a, b, noisy=stage % 2 == 0) for stage, (a, b) in enumerate(zip(widths, widths[1:]))
        )
        self.distance = min(EXCITED, doublings)
        self.excitations = nn.ModuleList(
            Excitation(widths[stage], widths[stage + self.distance], base, 1 << stage)
            for stage in range(min(doublings - self.distance + 1, EXCITED))
        )
        self.small_stage = small_stage(doublings)
        self.small_image = conv(widths[self.small_stage], spec.channels, 1)
        self.image = conv(widths[-1], spec.channels, 3)
        initialise(self)

    def both(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Images [N, C, H, W], and the small ones that intermediate feature maps give, at most 128 pixels."""
        maps = [self.start(z[:, :, None, None])]
        for number, stage in enumerate(self.stages, start=1):
            larger = stage(maps[-1])
            source = number - self.distance
            if 0 <= source < len(self.excitations):
                larger = self.excitations[source](maps[source], larger)
            maps.append(larger)
        return self.image(maps[-1]).tanh(), self.small_image(maps[self.small_stage]).tanh()

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.both(z)[0]


class Discriminator(nn.Module):
    """Images [N, C, H, W], and the same ones smaller -> logits of patches [N, 50], half of them of the small images.

    By default the small images are taken from the large ones. `features` and `reconstruct` are for real images alone.
    """

    def __init__(self, config: FastGANConfig, spec: DataSpec):
        super().__init__()
        base, doublings = stages_of(spec)
        blocks = min(doublings - 1, SMALL_STAGE)
        self.shrink = 1 << (doublings - small_stage(doublings))
        widths = [max(1, 8 * config.width >> stage) for stage in range(blocks, -1, -1)]
        self.start = nn.Sequential(*_from_image(spec.channels, widths[0], doublings - 1 - blocks))
        self.blocks = nn.ModuleList(DownBlock(a, b) for a, b in zip(widths, widths[1:]))
        self.distance = min(EXCITED - 1, blocks)
        self.excitations = nn.ModuleList(
            Excitation(widths[stage], widths[stage + self.distance], base, 2 << (blocks - stage))
            for stage in range(blocks - self.distance + 1 if blocks else 0)
        )
        self.head = nn.Sequential(
            conv(widths[-1], 2 * widths[-1], 1), *norm(2 * widths[-1]), conv_head(2 * widths[-1], base)
        )
        halvings = small_stage(doublings) - 1
        outer = [max(1, 4 * config.width >> stage) for stage in range(max(halvings - 1, 0), -1, -1)]
        small = list(_from_image(spec.channels, outer[0], min(halvings, 1)))
        for a, b in zip(outer, outer[1:]):
            small += [conv(a, b, 4), *norm(b)]
        self.small = nn.Sequential(*small)
        self.small_head = conv_head(4 * config.width, base)
        self.decoders = nn.ModuleDict(
            {
                "whole": decoder(8 * config.width, config.width, halvings, spec),
                "small": decoder(4 * config.width, config.width, halvings, spec),
                "quarter": decoder(widths[-2:][0], config.width, halvings, spec),
            }
        )
        initialise(self)

    def features(self, images: Tensor, small: Tensor | None = None) -> dict[str, Tensor]:
        """The last maps of the whole and of the small images, and those of the whole before, twice the side."""
        maps = [self.start(images)]
        for number, block in enumerate(self.blocks, start=1):
            smaller = block(maps[-1])
            source = number - self.distance
            if source >= 0:
                smaller = self.excitations[source](maps[source], smaller)
            maps.append(smaller)
        small = self.smaller(images) if small is None else small
        return {"whole": maps[-1], "small": self.small(small), "before": maps[-2:][0]}

    def judge(self, features: dict[str, Tensor]) -> Tensor:
        """The logits of `features`."""
        logits = self.head(features["whole"]).flatten(1), self.small_head(features["small"]).flatten(1)
        return torch.cat(logits, dim=1)

    def reconstruct(self, features: dict[str, Tensor], place: Tensor) -> dict[str, Tensor]:
        """The small images again, decoded from the features of the whole, the small, and a `quarter` of the images."""
        maps = {"whole": features["whole"], "small": features["small"], "quarter": quarter(features["before"], place)}
        return {name: self.decoders[name](part) for name, part in maps.items()}

    def smaller(self, images: Tensor) -> Tensor:
        """Images of the side of the small ones: every second, or fourth, ... pixel, as in the authors' code."""
        step = self.shrink
        return images[:, :, ::step, ::step]

    def forward(self, images: Tensor, condition: Tensor | None = None, small: Tensor | None = None) -> Tensor:
        return self.judge(self.features(images, small))


class Excitation(nn.Module):
    """Skip-layer excitation: small maps [N, C, base * f, base * f] scale the channels of large ones [N, C', H, W]."""

    def __init__(self, inputs: int, outputs: int, base: Sides, factor: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.AvgPool2d(factor), nn.Conv2d(inputs, outputs, base, bias=False), nn.SiLU(),
            conv(outputs, outputs, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        result: Tensor = large * self.layers(small)
        return result


class Noise(nn.Module):
    """Adds noise, drawn for every pixel in training and left out in eval mode; it begins with strength 0."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.strength * torch.randn_like(maps[:, :1]) if self.training else maps


class DownBlock(nn.Module):
    """Two convolutions, the first halving the side, and a pooled shortcut; the mean of both."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.main = nn.Sequential(conv(inputs, outputs, 4), *norm(outputs), conv(outputs, outputs, 3), *norm(outputs))
        self.direct = nn.Sequential(nn.AvgPool2d(2), conv(inputs, outputs, 1), *norm(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = (self.main(maps) + self.direct(maps)) / 2
        return result


def up(inputs: int, outputs: int, noisy: bool = False) -> nn.Sequential:
    """Doubles the side: nearest upsampling, then a convolution, batch norm and a gated linear unit, or two of each."""
    layers: list[nn.Module] = [nn.Upsample(scale_factor=2)]
    for channels in (inputs, outputs) if noisy else (inputs,):
        layers += [conv(channels, 2 * outputs, 3), *([Noise()] if noisy else [])]
        layers += [nn.BatchNorm2d(2 * outputs), nn.GLU(dim=1)]
    return nn.Sequential(*layers)


def decoder(inputs: int, width: int, doublings: int, spec: DataSpec) -> nn.Sequential:
    """Maps [N, inputs, h, w] -> images [N, C, h * 2^doublings, w * 2^doublings]."""
    widths = [inputs, *(max(1, int(scale * width / 2)) for scale in SCALES[2 : 2 + doublings])]
    stages = (up(a, b) for a, b in zip(widths, widths[1:]))
    return nn.Sequential(*stages, conv(widths[-1], spec.channels, 3), nn.Tanh())


def quarter(images: Tensor, place: Tensor) -> Tensor:
    """A quarter of images [N, C, H, W]: `place` are two booleans, for the upper and for the left half."""
    upper, lower = images.chunk(2, dim=2)
    left, right = torch.where(place[0], upper, lower).chunk(2, dim=3)
    return torch.where(place[1], left, right)


def conv(inputs: int, outputs: int, kernel_size: int) -> nn.Conv2d:
    """A convolution that keeps the side, or halves it with a kernel of 4."""
    return nn.Conv2d(inputs, outputs, kernel_size, 2 if kernel_size == 4 else 1, (kernel_size - 1) // 2, bias=False)


def conv_head(inputs: int, base: Sides) -> nn.Conv2d:
    """Logits of patches of the size of `base`."""
    return nn.Conv2d(inputs, 1, base, bias=False)


def norm(channels: int) -> tuple[nn.Module, nn.Module]:
    """Batch norm and a leaky ReLU."""
    return nn.BatchNorm2d(channels), nn.LeakyReLU(0.2, inplace=True)


def small_stage(doublings: int) -> int:
    """The doublings of the small images: half of the side of the large ones, at most 128 pixels, at least 8."""
    return max(1, min(doublings - 1, SMALL_STAGE))


def _from_image(channels: int, outputs: int, halvings: int) -> list[nn.Module]:
    """The first convolutions of a discriminator: one that keeps the side, or as many as it takes to halve it."""
    if not halvings:
        return [conv(channels, outputs, 3), nn.LeakyReLU(0.2, inplace=True)]
    widths = [max(1, outputs >> stage) for stage in range(halvings - 1, -1, -1)]
    layers: list[nn.Module] = [conv(channels, widths[0], 4), nn.LeakyReLU(0.2, inplace=True)]
    for outer, inner in zip(widths, widths[1:]):
        layers += [conv(outer, inner, 4), *norm(inner)]
    return layers
