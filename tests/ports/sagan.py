"""SAGAN (Zhang et al. 2019) with a projection discriminator (Miyato and Koyama 2018): all conditioning starts at 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import ganzoo
from ganzoo.config import setting
from ganzoo.errors import UsageError
from ganzoo.plugin import DataSpec, LossName


class ConditionalNorm(nn.Module):
    """Batch norm with a scale and a shift for every class, at first 1 and 0."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = nn.Embedding(classes, channels), nn.Embedding(classes, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return self.norm(x) * self.scale(labels)[:, :, None, None] + self.shift(labels)[:, :, None, None]  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Self-attention whose output is weighted by gamma, at first 0."""

    def __init__(self, channels: int):
        super().__init__()
        self.query, self.key, self.value = (spectral_norm(nn.Conv2d(channels, channels, 1)) for _ in range(3))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (f(x).flatten(2) for f in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(-1)
        return x + self.gamma * (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])  # type: ignore[no-any-return]


class Generator(nn.Module):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        if spec.size % 4:
            raise UsageError(
                f"Image size {spec.size} is not a multiple of 4. Set image_size={spec.size // 4 * 4 + 4} instead."
            )
        width = config.width
        self.side = spec.size // 4
        self.first = spectral_norm(nn.Linear(config.latent_dim, width * self.side**2))
        self.norms = nn.ModuleList(ConditionalNorm(width, spec.classes) for _ in range(2))
        self.convs = nn.ModuleList(spectral_norm(nn.ConvTranspose2d(width, width, 4, 2, 1)) for _ in range(2))
        self.attention = Attention(width)
        self.image = nn.Conv2d(width, spec.channels, 3, padding=1)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        x = self.first(z).unflatten(1, (-1, self.side, self.side))
        for norm, conv in zip(self.norms, self.convs):
            x = conv(norm(x, labels).relu())
        return self.image(self.attention(x)).tanh()  # type: ignore[no-any-return]


class Discriminator(nn.Module):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        width = config.width
        self.first = spectral_norm(nn.Conv2d(spec.channels, width, 4, 2, 1))
        self.attention = Attention(width)
        self.last = spectral_norm(nn.Conv2d(width, width, 3, 1, 1))
        self.head = spectral_norm(nn.Linear(width, 1))
        self.embed = nn.Embedding(spec.classes, width)
        nn.init.zeros_(self.embed.weight)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        features = self.last(self.attention(self.first(images).relu())).relu().sum((2, 3))
        return self.head(features).squeeze(1) + (self.embed(labels) * features).sum(1)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class SAGANConfig(ganzoo.Config):
    loss: LossName = "hinge"
    latent_dim: int = 8
    width: int = setting(8, "channels", ge=1)


class SAGAN(ganzoo.Architecture):
    api_version = 2
    summary = "self-attention, spectral norm in both networks, projection of the label"
    paper = "Zhang et al. 2019, arXiv:1805.08318; Miyato and Koyama 2018, arXiv:1802.05637"
    conditional = True
    Config = SAGANConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        return ganzoo.GAN(Generator(config, spec), Discriminator(config, spec), config, spec)
