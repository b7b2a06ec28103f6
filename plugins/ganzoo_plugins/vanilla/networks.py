"""Multilayer perceptrons for images of any size and for points: Goodfellow et al. 2014, arXiv:1406.2661."""

from __future__ import annotations

import math

from torch import Tensor, nn

from ganzoo.nn import mlp
from ganzoo.plugin import DataSpec
from ganzoo_plugins.vanilla import VanillaConfig


class Generator(nn.Module):
    """z [N, latent_dim] -> LeakyReLU layers -> images [N, C, size, size] within tanh's bounds, or points [N, C]."""

    def __init__(self, config: VanillaConfig, spec: DataSpec):
        super().__init__()
        widths = (config.latent_dim, *config.generator_widths, math.prod(spec.shape))
        self.layers = mlp(widths, nn.LeakyReLU(0.2, inplace=True))
        self.head = nn.Sequential(nn.Unflatten(1, spec.shape), nn.Tanh()) if spec.kind == "images" else nn.Identity()

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        samples: Tensor = self.head(self.layers(z))
        return samples


class Discriminator(nn.Module):
    """Images [N, C, size, size] or points [N, C] -> LeakyReLU layers with dropout -> logits [N]."""

    def __init__(self, config: VanillaConfig, spec: DataSpec):
        super().__init__()
        widths = (math.prod(spec.shape), *config.discriminator_widths, 1)
        self.layers = mlp(widths, nn.LeakyReLU(0.2, inplace=True), nn.Dropout(config.dropout))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layers(images.flatten(1)).squeeze(1)
        return logits
