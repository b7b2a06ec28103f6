"""SRGAN (Ledig et al. 2017): images from smaller ones.

    ganzoo train examples/files/srgan.py:SRGAN --dataset pairs:small,large --out runs/large

`small` and `large` are folders of images with the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.errors import UsageError
from ganzoo.gan import Logs
from ganzoo.plugin import DataSpec, Field


class SuperResolution(ganzoo.GAN):
    """The squared difference from the true image, plus a little of the adversarial loss: eq. 3."""

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Logs]:
        adversarial, logs = super().generator_loss(real, fake, condition)
        content = (fake.float() - real).square().mean()
        return content + self.config.adversarial_weight * adversarial, logs | {"content": content.detach()}


class Enlarge(nn.Module):
    """Input images [N, C', h, w] -> images [N, C, factor h, factor w]; what bilinear interpolation lacks is learnt."""

    def __init__(self, config: SRGANConfig, spec: DataSpec, factor: int):
        super().__init__()
        width, inputs = config.width, spec.given["input"].shape[0]
        self.factor = factor
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(config.blocks)
        )
        self.last = nn.Conv2d(width, spec.channels * factor**2, 3, padding=1)
        self.skip = nn.Conv2d(inputs, spec.channels, 1)

    def forward(self, z: Tensor, images: Tensor) -> Tensor:
        x = self.first(images)
        for block in self.blocks:
            x = x + block(x)
        large = F.interpolate(self.skip(images), scale_factor=self.factor, mode="bilinear")
        return (large + F.pixel_shuffle(self.last(x), self.factor)).tanh()


class Discriminator(nn.Module):
    """Images [N, C, H, W] -> logits [N]. It does not see the input."""

    def __init__(self, config: SRGANConfig, spec: DataSpec):
        super().__init__()
        width = config.width
        self.layers = nn.Sequential(
            nn.Conv2d(spec.channels, width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * width, 1),
        )

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layers(images).squeeze(1)
        return logits


@dataclass(frozen=True, kw_only=True)
class SRGANConfig(ganzoo.Config):
    latent_dim: int = setting(1, "not used: enlarging has no noise", ge=1)
    adversarial_weight: float = setting(1e-3, "weight of the adversarial loss", ge=0)
    width: int = setting(32, "channels", ge=1)
    blocks: int = setting(4, "residual blocks of the generator", ge=0)


class SRGAN(ganzoo.Architecture):
    api_version = 2
    summary = "super-resolution: images from smaller ones"
    paper = "Ledig et al. 2017, Photo-Realistic Single Image Super-Resolution, arXiv:1609.04802"
    paired = True
    steers = ("generator",)
    Config = SRGANConfig

    def example(self, config: Any) -> DataSpec:
        return DataSpec(target=Field("images", (1, 16, 16)), given={"input": Field("images", (1, 8, 8))})

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        small, large = spec.given["input"].shape[1:], spec.shape[1:]
        factor = large[0] // small[0]
        if factor < 2 or (small[0] * factor, small[1] * factor) != large:
            raise UsageError(
                f"SRGAN enlarges images by a whole factor of 2 or more, but the inputs are {spec.given['input']} and "
                f"the images {spec.target}. Choose a data set of pairs with smaller inputs."
            )
        return SuperResolution(Enlarge(config, spec, factor), Discriminator(config, spec), config, spec)
