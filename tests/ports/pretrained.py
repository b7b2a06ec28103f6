"""Frozen features in the discriminator (Sauer et al. 2021): their batch norm keeps its statistics, so R1 applies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.nn import MLPGenerator, mlp
from ganzoo.plugin import DataSpec, LossName, PenaltyName


class Frozen(nn.Module):
    """Features that nothing trains; a file of weights would be loaded here. Images [N, C, H, W] -> [N, width, 4, 4]."""

    def __init__(self, width: int, spec: DataSpec):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(spec.channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(4)
        )
        generator = torch.Generator().manual_seed(0)
        for parameter in self.layers[0].parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)  # type: ignore[no-any-return]


class ProjectedDiscriminator(nn.Module):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.features = Frozen(config.width, spec)
        self.head = mlp((config.width * 16, *config.widths, 1), nn.LeakyReLU(0.2))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.head(self.features(images).flatten(1)).squeeze(1)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class PretrainedConfig(ganzoo.Config):
    loss: LossName = "hinge"
    penalty: PenaltyName = "r1"
    penalty_weight: float = 0.1
    latent_dim: int = 8
    width: int = setting(8, "channels of the features", ge=1)
    widths: tuple[int, ...] = setting((16,), "hidden layers", ge=1)


class Pretrained(ganzoo.Architecture):
    api_version = 2
    summary = "a discriminator on frozen features"
    paper = "Sauer et al. 2021, Projected GANs Converge Faster, arXiv:2111.01007"
    Config = PretrainedConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        return ganzoo.GAN(generator, ProjectedDiscriminator(config, spec), config, spec)
