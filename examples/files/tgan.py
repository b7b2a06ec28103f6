"""TGAN (Saito et al. 2017): one generator of latent motion, one of images; a three-dimensional critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.errors import UsageError
from ganzoo.nn.dcgan import stages
from ganzoo.plugin import DataSpec, Field, LossName, PenaltyName


class TemporalGenerator(nn.Module):
    """z [N, latent_dim] -> a latent vector for each frame [N, frames, latent_dim]; doubles the number of frames."""

    def __init__(self, latent_dim: int, width: int, frames: int):
        super().__init__()
        layers: list[nn.Module] = [nn.ConvTranspose1d(latent_dim, width, 2), nn.ReLU()]
        for _ in range(frames.bit_length() - 2):
            layers += [nn.ConvTranspose1d(width, width, 4, 2, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, latent_dim, 1), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z[:, :, None]).transpose(1, 2)  # type: ignore[no-any-return]


class Generator(nn.Module):
    """z -> clips [N, frames, C, H, W]: every frame is an image of z, which they share, and of its own latent vector."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        frames, channels, height, _ = spec.shape
        self.base, doublings = stages(height)
        self.motion = TemporalGenerator(config.latent_dim, config.width, frames)
        self.start = nn.Linear(2 * config.latent_dim, config.width * self.base**2)
        layers: list[nn.Module] = [nn.GroupNorm(1, config.width), nn.ReLU()]
        for _ in range(doublings - 1):
            layers += [nn.ConvTranspose2d(config.width, config.width, 4, 2, 1)]
            layers += [nn.GroupNorm(1, config.width), nn.ReLU()]
        self.images = nn.Sequential(*layers, nn.ConvTranspose2d(config.width, channels, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        latents = self.motion(z)
        both = torch.cat([z[:, None].expand_as(latents), latents], dim=2)
        maps = self.start(both.flatten(0, 1)).unflatten(1, (-1, self.base, self.base))
        return self.images(maps).unflatten(0, latents.shape[:2])  # type: ignore[no-any-return]


class Critic(nn.Module):
    """Clips -> scores [N], by convolutions over time and space."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        frames, channels, height, width = spec.shape
        layers: list[nn.Module] = [nn.Conv3d(channels, config.width, 4, 2, 1), nn.LeakyReLU(0.2)]
        layers += [nn.Conv3d(config.width, 2 * config.width, (3, 4, 4), (1, 2, 2), 1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(2 * config.width * (frames // 2) * (height // 4) * (width // 4), 1)

    def forward(self, clips: Tensor, condition: Tensor | None = None) -> Tensor:
        maps = self.layers(clips.transpose(1, 2))  # torch counts channels before time
        return self.head(maps.flatten(1)).squeeze(1)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class TGANConfig(ganzoo.Config):
    loss: LossName = "wasserstein"
    penalty: PenaltyName = "gradient"
    beta1: float = 0.0
    latent_dim: int = 32
    width: int = setting(16, "channels of the feature maps", ge=1)


class TGAN(ganzoo.Architecture):
    api_version = 2
    summary = "video: latent vectors of the frames are generated before their images"
    paper = "Saito et al. 2017, Temporal Generative Adversarial Nets with Singular Value Clipping, arXiv:1611.06624"
    kinds = ("video",)
    Config = TGANConfig

    def example(self, config: Any) -> DataSpec:
        return DataSpec(target=Field("video", (4, 1, 8, 8), {"fps": 8}))

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        frames, _, height, width = spec.shape
        if frames < 2 or frames & (frames - 1) or height != width or height % 4:
            raise UsageError(
                f"TGAN needs clips whose number of frames is a power of 2, and square frames of a multiple of 4 "
                f"pixels, not {spec.target}. Choose them with video:frames=16,size=32x32:PATH."
            )
        return ganzoo.GAN(Generator(config, spec), Critic(config, spec), config, spec)
