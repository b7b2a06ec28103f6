"""The networks of Huang et al. 2024, arXiv:2501.05441, in the sizes of the authors' code; `networks` has small ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.nn import Conv1x1, scaled_normal
from ganzoo.nn.dcgan import stages
from ganzoo.nn.equalised import downsample, upsample
from ganzoo.plugin import DataSpec
from ganzoo_plugins.r3gan import R3GANConfig
from ganzoo_plugins.r3gan.networks import Block, label_embedding, label_logits

FULL_WIDTH_UP_TO = 32
"""The largest side of feature maps with all channels; they are halved at every larger scale."""


class Resize(nn.Module):
    """Doubles or halves the side with the filter [1, 3, 3, 1]; a 1x1 convolution if the channels change."""

    def __init__(self, inputs: int, outputs: int, up: bool):
        super().__init__()
        self.up = up
        self.change = Conv1x1(inputs, outputs, bias=False) if inputs != outputs else None
        if self.change is not None:
            scaled_normal(self.change, 1.0)

    def forward(self, maps: Tensor) -> Tensor:
        maps = maps if self.up else downsample(maps)
        maps = maps if self.change is None else self.change(maps)
        return upsample(maps) if self.up else maps


class Generator(nn.Module):
    """z [N, latent_dim] -> weights of a learnt basis [C, base, base] -> blocks, doubled between -> images."""

    def __init__(self, config: R3GANConfig, spec: DataSpec):
        super().__init__()
        widths, base = widths_of(config, spec)
        self.label = label_embedding(spec, config.latent_dim)
        inputs = config.latent_dim * (2 if spec.classes else 1)
        self.start = nn.Linear(inputs, widths[0], bias=False)
        self.basis = nn.Parameter(torch.randn(widths[0], base, base))
        self.layers = _stages(widths, True, config)
        self.end = nn.Conv2d(widths[-1], spec.channels, 1, bias=False)
        nn.init.normal_(self.start.weight, 0.0, inputs**-0.5)
        scaled_normal(self.end, 1.0)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        z = z if self.label is None else torch.cat([z, self.label(condition)], dim=1)
        images: Tensor = self.end(self.layers(self.start(z)[:, :, None, None] * self.basis))
        return images.tanh()


class Discriminator(nn.Module):
    """Images [N, C, size, size] -> blocks, halved between -> products with a learnt basis [N, C'] -> logits [N]."""

    def __init__(self, config: R3GANConfig, spec: DataSpec):
        super().__init__()
        widths, base = widths_of(config, spec)
        widths.reverse()
        self.start = nn.Conv2d(spec.channels, widths[0], 1, bias=False)
        self.layers = _stages(widths, False, config)
        self.basis = nn.Parameter(torch.randn(widths[-1], base, base) / base)
        self.end = nn.Linear(widths[-1], widths[-1] if spec.classes else 1, bias=False)
        self.label = label_embedding(spec, widths[-1], widths[-1] ** -0.5)
        scaled_normal(self.start, 1.0)
        nn.init.normal_(self.end.weight, 0.0, widths[-1] ** -0.5)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        features = (self.layers(self.start(images)) * self.basis).sum((2, 3))
        return label_logits(self.end(features), self.label, condition)


def widths_of(config: R3GANConfig, spec: DataSpec) -> tuple[list[int], int]:
    """Channels of the scales, smallest maps first, and the side of the smallest. Raises UsageError as `stages`."""
    base, doublings = stages(spec.size)
    sides = [base << stage for stage in range(doublings + 1)]
    return [max(1, min(config.width, config.width * FULL_WIDTH_UP_TO // side)) for side in sides], base


def _stages(widths: list[int], up: bool, config: R3GANConfig) -> nn.Sequential:
    """Blocks of each width, with a `Resize` between one scale and the next."""
    depth = len(widths) * config.blocks
    layers: list[nn.Module] = []
    for previous, width in zip([None, *widths], widths):
        layers += [] if previous is None else [Resize(previous, width, up)]
        inner = width * config.expansion
        groups = max(1, inner // config.group_width)
        layers += [Block(width, inner, groups, depth, bias=True) for _ in range(config.blocks)]
    return nn.Sequential(*layers)
