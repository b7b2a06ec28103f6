"""The networks of Karras et al. 2020, arXiv:1912.04958, in the form of arXiv:2006.06676: skip generator."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.gan import GAN, Logs
from ganzoo.nn import EqualisedConv2d, EqualisedLinear, MinibatchStddev, ModulatedConv2d, StyledConv2d
from ganzoo.nn.dcgan import stages
from ganzoo.nn.equalised import leaky, unit_length, upsample
from ganzoo.plugin import DataSpec
from ganzoo_plugins.stylegan2 import StyleGAN2Config, StyleGAN2Sampling

MAPPING_RATE = 0.01
"""The learning rate of mapping networks, relative to other layers."""
LABEL_LAYERS = 8
"""Layers of the discriminator's mapping network."""
MEAN_STYLE_RATE = 0.005
"""Weight of a batch in the moving average of styles."""


class LabelEmbedding(nn.Module):
    """Labels [N] -> vectors of unit length [N, outputs]: `EqualisedLinear` of their one-hot codes."""

    def __init__(self, classes: int, outputs: int):
        super().__init__()
        self.table = nn.Embedding(classes, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / math.sqrt(classes)

    def forward(self, labels: Tensor) -> Tensor:
        return unit_length(self.table(labels) * self.scale + self.bias)


class Generator(nn.Module):
    """z [N, latent_dim] -> styles [N, layers, latent_dim] -> images [N, C, size, size]; tanh keeps them in range.

    With classes, styles depend on labels [N] as well.
    """

    mean_style: Tensor

    def __init__(self, config: StyleGAN2Config, spec: DataSpec):
        super().__init__()
        style, (base, doublings) = config.latent_dim, stages(spec.size)
        sides = [base << stage for stage in range(doublings + 1)]
        widths = [width(config, side) for side in sides]
        self.embed = LabelEmbedding(spec.classes, style) if spec.classes else None
        lengths = [2 * style if spec.classes else style] + [style] * (config.mapping_layers - 1)
        self.mapping = nn.ModuleList(EqualisedLinear(length, style, rate=MAPPING_RATE) for length in lengths)
        self.constant = nn.Parameter(torch.randn(widths[0], base, base))
        self.convs = nn.ModuleList([StyledConv2d(widths[0], widths[0], style, base)])
        for side, inputs, outputs in zip(sides[1:], widths, widths[1:]):
            self.convs.append(StyledConv2d(inputs, outputs, style, side, up=True))
            self.convs.append(StyledConv2d(outputs, outputs, style, side))
        self.images = nn.ModuleList(ModulatedConv2d(w, spec.channels, style, 1, demodulate=False) for w in widths)
        self.layers = len(self.convs) + 1
        self.mixing = config.mixing
        self.register_buffer("mean_style", torch.zeros(style))

    def style(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The style of each z, [N, latent_dim]."""
        w = unit_length(z) if self.embed is None else torch.cat([unit_length(z), self.embed(labels)], dim=1)
        for layer in self.mapping:
            w = leaky(layer(w))
        return w

    def styles(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The styles of all layers; in training, some batches take those of other noise from some layer on."""
        styles = self.style(z, labels)[:, None].expand(-1, self.layers, -1)
        if not self.training or not self.mixing:
            return styles
        start = torch.randint(1, self.layers, (), device=z.device)
        start = torch.where(torch.rand((), device=z.device) < self.mixing, start, self.layers)
        others = self.style(torch.randn_like(z), labels)[:, None]
        return torch.where(torch.arange(self.layers, device=z.device)[:, None] < start, styles, others)

    def synthesise(self, styles: Tensor) -> Tensor:
        """Images of the styles [N, layers, latent_dim]: each scale adds its own to the smaller one, enlarged."""
        maps = self.convs[0](self.constant.expand(styles.shape[0], -1, -1, -1), styles[:, 0])
        images = self.images[0](maps, styles[:, 1])
        for stage, to_image in enumerate(self.images[1:]):
            layer = 1 + 2 * stage
            maps = self.convs[layer](maps, styles[:, layer])
            maps = self.convs[layer + 1](maps, styles[:, layer + 1])
            images = upsample(images) + to_image(maps, styles[:, layer + 2])
        result: Tensor = images.tanh()
        return result

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.synthesise(self.styles(z, condition))


class DownBlock(nn.Module):
    """Two 3x3 convolutions, the second halving the side; with a shortcut if `residual`."""

    def __init__(self, inputs: int, outputs: int, residual: bool):
        super().__init__()
        self.conv1 = EqualisedConv2d(inputs, inputs, 3, activate=True)
        self.conv2 = EqualisedConv2d(inputs, outputs, 3, down=True, activate=True)
        self.shortcut = EqualisedConv2d(inputs, outputs, 1, bias=False, down=True) if residual else None

    def forward(self, maps: Tensor) -> Tensor:
        hidden: Tensor = self.conv2(self.conv1(maps))
        return hidden if self.shortcut is None else (hidden + self.shortcut(maps)) * math.sqrt(0.5)


class Discriminator(nn.Module):
    """Images [N, C, size, size] -> blocks that halve them -> [N, C', base, base] -> logits [N].

    With classes the logits are products of features and a vector to which a network maps the label.
    """

    def __init__(self, config: StyleGAN2Config, spec: DataSpec):
        super().__init__()
        base, doublings = stages(spec.size)
        widths = [width(config, base << stage) for stage in range(doublings, -1, -1)]
        self.start = EqualisedConv2d(spec.channels, widths[0], 1, activate=True)
        self.blocks = nn.Sequential(*(DownBlock(a, b, config.residual) for a, b in zip(widths, widths[1:])))
        self.stddev = MinibatchStddev(config.stddev_group)
        self.conv = EqualisedConv2d(widths[-1] + 1, widths[-1], 3, activate=True)
        self.hidden = EqualisedLinear(widths[-1] * base * base, widths[-1])
        self.head = EqualisedLinear(widths[-1], widths[-1] if spec.classes else 1)
        self.embed = LabelEmbedding(spec.classes, widths[-1]) if spec.classes else None
        layers = LABEL_LAYERS if spec.classes else 0
        self.mapping = nn.ModuleList(EqualisedLinear(widths[-1], widths[-1], rate=MAPPING_RATE) for _ in range(layers))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        maps = self.conv(self.stddev(self.blocks(self.start(images))))
        logits: Tensor = self.head(leaky(self.hidden(maps.flatten(1))))
        if self.embed is None:
            return logits.squeeze(1)
        label = self.embed(condition)
        for layer in self.mapping:
            label = leaky(layer(label))
        logits = (logits * label).sum(1) / math.sqrt(label.shape[1])
        return logits


class StyleGAN(GAN):
    """A GAN whose path length is that of styles, and whose samples can be drawn towards the mean style."""

    sampling_type = StyleGAN2Sampling
    generator: Generator

    def generate(self, z: Tensor, condition: Any = None) -> Tensor:
        styles = self.generator.styles(z, condition)
        if self.sampling is not None:
            styles = self.generator.mean_style + self.sampling.truncation * (styles - self.generator.mean_style)
        return self.generator.synthesise(styles)

    def path(self, z: Tensor, condition: Any = None) -> tuple[Tensor, Tensor]:
        styles = self.generator.styles(z, condition)
        return styles, self.generator.synthesise(styles)

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Any = None) -> tuple[Tensor, Logs]:
        with torch.no_grad():
            mean = self.generator.style(self.step_context.micro.z, condition).float().mean(0)
            self.generator.mean_style.lerp_(self.step_context.mean_over_ranks(mean), MEAN_STYLE_RATE)
        return super().generator_loss(real, fake, condition)


def width(config: StyleGAN2Config, side: int) -> int:
    """The channels of feature maps of this side."""
    return max(1, min(config.channel_base // side, config.channel_max))
