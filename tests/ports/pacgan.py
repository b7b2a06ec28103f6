"""PacGAN (Lin et al. 2018): the discriminator judges groups of images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.nn import MLPGenerator, mlp
from ganzoo.plugin import DataSpec


class PackedDiscriminator(nn.Module):
    """Images [N, ...] -> logits [N / packing]."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.packing = config.packing
        self.layers = mlp((config.packing * math.prod(spec.shape), *config.widths, 1), nn.LeakyReLU(0.2))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layers(images.reshape(len(images) // self.packing, -1)).squeeze(1)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class PacGANConfig(ganzoo.Config):
    packing: int = setting(2, "images that are judged together", ge=1)
    latent_dim: int = 8
    widths: tuple[int, ...] = setting((16,), "hidden layers", ge=1)


class PacGAN(ganzoo.Architecture):
    api_version = 2
    summary = "one logit for two images"
    paper = "Lin et al. 2018, PacGAN, arXiv:1712.04086"
    kinds = ("images", "points")
    Config = PacGANConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        return ganzoo.GAN(generator, PackedDiscriminator(config, spec), config, spec)
