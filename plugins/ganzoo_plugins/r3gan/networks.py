"""The networks of Huang et al. 2024, arXiv:2501.05441, section 3: residual blocks without norm, in small."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.nn import ConvHead, ConvTransposeTanh, scaled_normal
from ganzoo.nn.dcgan import channels, stages
from ganzoo.plugin import DataSpec
from ganzoo_plugins.r3gan import R3GANConfig

SLOPE = 0.2


class Block(nn.Module):
    """x + f(x), f a 1x1, a grouped 3x3 and a 1x1 convolution that is wide inside and starts as zero (Fixup)."""

    def __init__(self, width: int, config: R3GANConfig, depth: int):
        super().__init__()
        groups = max(1, width * config.expansion // config.group_width)
        inner = groups * config.group_width if groups > 1 else width * config.expansion
        self.widen = nn.Conv2d(width, inner, 1, bias=False)
        self.mix = nn.Conv2d(inner, inner, 3, padding=1, groups=groups)
        self.narrow = nn.Conv2d(inner, width, 1, bias=False)
        gain = nn.init.calculate_gain("leaky_relu", SLOPE) * depth**-0.25
        for layer in (self.widen, self.mix):
            scaled_normal(layer, gain)
        nn.init.zeros_(self.narrow.weight)

    def forward(self, maps: Tensor) -> Tensor:
        inside = F.leaky_relu(self.widen(maps), SLOPE)
        inside = F.leaky_relu(self.mix(inside), SLOPE)
        result: Tensor = maps + self.narrow(inside)
        return result


class Resize(nn.Module):
    """Bilinear interpolation to `factor` times the size, after or before a 1x1 convolution, on the smaller side."""

    def __init__(self, inputs: int, outputs: int, factor: float):
        super().__init__()
        self.factor = factor
        self.change = nn.Conv2d(inputs, outputs, 1, bias=False)
        scaled_normal(self.change, 1.0)

    def forward(self, maps: Tensor) -> Tensor:
        if self.factor < 1:
            changed: Tensor = self.change(F.interpolate(maps, scale_factor=self.factor, mode="bilinear"))
            return changed
        return F.interpolate(self.change(maps), scale_factor=self.factor, mode="bilinear")


class Generator(nn.Module):
    """z [N, latent_dim] -> [N, 2^(k-1) width, base, base] -> ... -> [N, width, size/2, size/2] -> images of `size`."""

    def __init__(self, config: R3GANConfig, spec: DataSpec):
        super().__init__()
        base, doublings = stages(spec.size)
        outward = list(reversed(channels(config.width, doublings)))
        self.start = nn.ConvTranspose2d(config.latent_dim, outward[0], base, bias=False)
        self.layers = _stages(outward, 2.0, config)
        self.end = ConvTransposeTanh(config.width, spec.channels)
        nn.init.normal_(self.start.weight, 0.0, config.latent_dim**-0.5)
        nn.init.normal_(self.end.weight, 0.0, 0.5 * config.width**-0.5)  # every pixel is the sum of 2x2 of the 4x4

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images: Tensor = self.end(self.layers(self.start(z[:, :, None, None])))
        return images


class Discriminator(nn.Module):
    """The generator's mirror image: [N, C, size, size] -> [N, 2^(k-1) width, base, base] -> logits [N]."""

    def __init__(self, config: R3GANConfig, spec: DataSpec):
        super().__init__()
        base, doublings = stages(spec.size)
        inward = channels(config.width, doublings)
        self.start = nn.Conv2d(spec.channels, config.width, 4, 2, 1)
        self.layers = _stages(inward, 0.5, config)
        self.end = ConvHead(inward[-1], 1, base)
        for layer in (self.start, self.end):
            scaled_normal(layer, 1.0)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = self.end(self.layers(self.start(images)))
        return logits.flatten()


def _stages(widths: list[int], factor: float, config: R3GANConfig) -> nn.Sequential:
    """Blocks of each width, and a change of size between one width and the next."""
    depth = len(widths) * config.blocks
    layers: list[nn.Module] = []
    for before, width in zip([None, *widths], widths):
        layers += [] if before is None else [Resize(before, width, factor)]
        layers += [Block(width, config, depth) for _ in range(config.blocks)]
    return nn.Sequential(*layers)
