"""Multilayer perceptrons for images of any size: Goodfellow et al. 2014, arXiv:1406.2661."""

from __future__ import annotations

from torch import Tensor, nn

from ganzoo.nn import mlp
from ganzoo.plugin import DataSpec
from ganzoo_plugins.vanilla import VanillaConfig


class Generator(nn.Module):
    """z [N, latent_dim] -> LeakyReLU layers -> tanh, images [N, C, size, size]."""

    def __init__(self, config: VanillaConfig, spec: DataSpec):
        super().__init__()
        self.shape = (spec.channels, spec.size, spec.size)
        self.layers = mlp(
            (config.latent_dim, *config.generator_widths, spec.channels * spec.size**2), nn.LeakyReLU(0.2, inplace=True)
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.layers(z).tanh().unflatten(1, self.shape)
        return images


class Discriminator(nn.Module):
    """Images [N, C, size, size] -> LeakyReLU layers with dropout -> logits [N]."""

    def __init__(self, config: VanillaConfig, spec: DataSpec):
        super().__init__()
        widths = (spec.channels * spec.size**2, *config.discriminator_widths, 1)
        self.layers = mlp(widths, nn.LeakyReLU(0.2, inplace=True), nn.Dropout(config.dropout))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layers(images.flatten(1)).squeeze(1)
        return logits
