"""Instance noise (Sønderby et al. 2017), annealed with the number of images seen; the step alone decides how strong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

import ganzoo
from ganzoo.augmentations import normal
from ganzoo.config import setting
from ganzoo.nn import MLPDiscriminator, MLPGenerator
from ganzoo.plugin import DataSpec


class Noisy(ganzoo.GAN):
    """All that the discriminator sees is noisy, less so as training goes on."""

    def augment(self, images: Tensor) -> Tensor:
        step, images = self.step_context, super().augment(images)
        sigma = self.config.noise * max(0.0, 1 - step.images_seen / self.config.noise_images)
        return images + sigma * normal(images, *images.shape[1:], rng=step.rng).to(images.dtype)


@dataclass(frozen=True, kw_only=True)
class AnnealedConfig(ganzoo.Config):
    noise: float = setting(0.2, "standard deviation of the noise at first", ge=0)
    noise_images: int = setting(200, "images in which it falls to 0", ge=1)
    latent_dim: int = 8
    widths: tuple[int, ...] = setting((16,), "hidden layers", ge=1)


class Annealed(ganzoo.Architecture):
    api_version = 2
    summary = "noise on all images, annealed"
    paper = "Sonderby et al. 2017, Amortised MAP Inference, arXiv:1610.04490"
    kinds = ("images", "points")
    expected_failures = {"accumulate": "the noise of every part of a batch is drawn anew"}  # noqa: RUF012
    Config = AnnealedConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        return Noisy(generator, MLPDiscriminator(config.widths, spec), config, spec)
