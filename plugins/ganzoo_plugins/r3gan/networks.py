"""Small versions of the networks of Huang et al. 2024, arXiv:2501.05441, section 3: residual blocks, no norm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.nn import Conv1x1, Conv3x3, ConvHead, ConvTransposeTanh, scaled_normal
from ganzoo.nn.dcgan import channels, stages_of
from ganzoo.ops import conv_leaky_relu
from ganzoo.plugin import DataSpec
from ganzoo_plugins.r3gan import R3GANConfig

SLOPE = 0.2


class Block(nn.Module):
    """x + f(x): 1x1, grouped 3x3 and 1x1 convolutions, wider inside, the last initialised to zero (Fixup)."""

    def __init__(self, width: int, inner: int, groups: int, depth: int, bias: bool = False):
        super().__init__()
        self.widen = Conv1x1(width, inner, bias=bias, slope=SLOPE)
        self.mix = Conv3x3(inner, inner, groups=groups)
        self.narrow = Conv1x1(inner, width, bias=False, input_slope=SLOPE)
        gain = nn.init.calculate_gain("leaky_relu", SLOPE) * depth**-0.25
        for layer in (self.widen, self.mix):
            scaled_normal(layer, gain)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, maps: Tensor) -> Tensor:
        output: Tensor = self.narrow(self.mix(self.widen(maps)), residual=maps)
        return output


class Resize(nn.Module):
    """Bilinear interpolation by `factor`, and a 1x1 convolution at the smaller of the two sizes."""

    def __init__(self, inputs: int, outputs: int, factor: float):
        super().__init__()
        self.factor = factor
        self.change = Conv1x1(inputs, outputs, bias=False)
        scaled_normal(self.change, 1.0)

    def forward(self, maps: Tensor) -> Tensor:
        if self.factor < 1:
            smaller: Tensor = self.change(F.interpolate(maps, scale_factor=self.factor, mode="bilinear"))
            return smaller
        return F.interpolate(self.change(maps), scale_factor=self.factor, mode="bilinear")


class Halving(nn.Conv2d):
    """Conv2d(4, 2, 1), computed by `ganzoo.ops.conv_leaky_relu`, without an activation."""

    def forward(self, input: Tensor) -> Tensor:
        return conv_leaky_relu(input, self.weight, self.bias, slope=1.0)


class Generator(nn.Module):
    """z [N, latent_dim] -> [N, 2^(k-1) width, *base] -> ... -> [N, width, H/2, W/2] -> images [N, C, H, W]."""

    def __init__(self, config: R3GANConfig, spec: DataSpec):
        super().__init__()
        base, doublings = stages_of(spec)
        widths = list(reversed(channels(config.width, doublings)))
        self.label = label_embedding(spec, config.latent_dim)
        inputs = config.latent_dim * (2 if spec.classes else 1)
        self.start = nn.ConvTranspose2d(inputs, widths[0], base, bias=False)
        self.layers = _stages(widths, 2.0, config)
        self.end = ConvTransposeTanh(config.width, spec.channels)
        nn.init.normal_(self.start.weight, 0.0, inputs**-0.5)
        nn.init.normal_(self.end.weight, 0.0, 0.5 * config.width**-0.5)  # each pixel sums over 2x2 of the 4x4 kernel

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        z = z if self.label is None else torch.cat([z, self.label(condition)], dim=1)
        images: Tensor = self.end(self.layers(self.start(z[:, :, None, None])))
        return images


class Discriminator(nn.Module):
    """The generator's mirror image: [N, C, H, W] -> [N, 2^(k-1) width, *base] -> logits [N]."""

    def __init__(self, config: R3GANConfig, spec: DataSpec):
        super().__init__()
        base, doublings = stages_of(spec)
        widths = channels(config.width, doublings)
        self.start = Halving(spec.channels, config.width, 4, 2, 1)
        self.layers = _stages(widths, 0.5, config)
        self.end = ConvHead(widths[-1], widths[-1] if spec.classes else 1, base)
        self.label = label_embedding(spec, widths[-1], widths[-1] ** -0.5)
        for layer in (self.start, self.end):
            scaled_normal(layer, 1.0)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        return label_logits(self.end(self.layers(self.start(images))).flatten(1), self.label, condition)


def label_embedding(spec: DataSpec, length: int, gain: float = 1.0) -> nn.Embedding | None:
    """The embedding of labels, as a linear layer on their one-hot codes begins; None without classes."""
    if not spec.classes:
        return None
    embedding = nn.Embedding(spec.classes, length)
    nn.init.normal_(embedding.weight, 0.0, gain * spec.classes**-0.5)
    return embedding


def label_logits(features: Tensor, label: nn.Module | None, condition: Tensor | None) -> Tensor:
    """Logits [N]: the one feature [N, 1], or products of features [N, C'] and the embedded labels."""
    return features.squeeze(1) if label is None else (features * label(condition)).sum(1)


def _stages(widths: list[int], factor: float, config: R3GANConfig) -> nn.Sequential:
    """Blocks of each width, with a `Resize` between one width and the next."""
    depth = len(widths) * config.blocks
    layers: list[nn.Module] = []
    for previous, width in zip([None, *widths], widths):
        layers += [] if previous is None else [Resize(previous, width, factor)]
        groups = max(1, width * config.expansion // config.group_width)
        inner = groups * config.group_width if groups > 1 else width * config.expansion
        layers += [Block(width, inner, groups, depth) for _ in range(config.blocks)]
    return nn.Sequential(*layers)
