"""WaveGAN (Donahue et al. 2019): one-dimensional convolutions generate audio; phase shuffle in the discriminator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.errors import UsageError
from ganzoo.plugin import DataSpec, Field, LossName, PenaltyName


class Generator(nn.Module):
    """z -> [N, channels, samples], in two stages of four times as many samples."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.start = spec.shape[1] // 16
        self.first = nn.Linear(config.latent_dim, config.width * self.start)
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose1d(config.width, config.width, 24, 4, 10),
            nn.ReLU(),
            nn.ConvTranspose1d(config.width, spec.shape[0], 24, 4, 10),
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.layers(self.first(z).unflatten(1, (-1, self.start))).tanh()  # type: ignore[no-any-return]


class Discriminator(nn.Module):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.shift = config.shift
        self.first = nn.Conv1d(spec.shape[0], config.width, 25, 4, 12)
        self.second = nn.Conv1d(config.width, config.width, 25, 4, 12)
        self.head = nn.Linear(config.width * (spec.shape[1] // 16), 1)

    def forward(self, audio: Tensor, condition: Tensor | None = None) -> Tensor:
        x = nn.functional.leaky_relu(self.first(audio), 0.2)
        if self.training and self.shift:
            by = torch.randint(-self.shift, self.shift + 1, (len(x), 1, 1), device=x.device)
            x = x.gather(2, ((torch.arange(x.shape[2], device=x.device) + by) % x.shape[2]).expand_as(x))
        x = nn.functional.leaky_relu(self.second(x), 0.2)
        return self.head(x.flatten(1)).squeeze(1)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class WaveGANConfig(ganzoo.Config):
    loss: LossName = "wasserstein"
    penalty: PenaltyName = "gradient"
    latent_dim: int = 8
    width: int = setting(8, "channels", ge=1)
    shift: int = setting(2, "samples by which features are shifted at random", ge=0)


class WaveGAN(ganzoo.Architecture):
    api_version = 2
    summary = "raw audio from one-dimensional convolutions"
    paper = "Donahue et al. 2019, Adversarial Audio Synthesis, arXiv:1802.04208"
    kinds = ("audio",)
    Config = WaveGANConfig

    def example(self, config: Any) -> DataSpec:
        return DataSpec(target=Field("audio", (1, 256), {"sample_rate": 4000}))

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        if spec.shape[1] % 16:
            raise UsageError(f"WaveGAN needs a multiple of 16 samples, not {spec.target}.")
        return ganzoo.GAN(Generator(config, spec), Discriminator(config, spec), config, spec)
