"""Adaptive augmentation (Karras et al. 2020) as an architecture of its own, with flips, shifts and brightness.

    ganzoo train examples/files/ada.py:ADA --dataset digits

The probability p of each augmentation grows while the discriminator overfits. It is a buffer, so that it is saved with
the weights and a resumed run continues with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import ganzoo
from ganzoo.augmentations import Augmentation, normal, uniform
from ganzoo.config import setting
from ganzoo.nn import MLPDiscriminator, MLPGenerator
from ganzoo.plugin import DataSpec


class Adaptive(Augmentation):
    """Each augmentation applies to an image with probability p, which follows the signs of D's logits: section 3.1."""

    def __init__(self, target: float, images: int):
        super().__init__()
        self.target, self.images = target, images
        self.register_buffer("p", torch.zeros(()))

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        chosen = uniform(images, 3, 1, 1, 1, rng=rng) < self.p
        images = torch.where(chosen[:, 0], images.flip(3), images)
        images = torch.where(chosen[:, 1], images.roll(images.shape[3] // 8, 3), images)
        brightness = (0.2 * normal(images, 1, 1, 1, rng=rng)).to(images.dtype)
        return torch.where(chosen[:, 2], images + brightness, images)

    def adapt(self, overfitting: Tensor, images: int) -> None:
        self.p.add_(torch.sign(overfitting - self.target) * images / self.images).clamp_(0, 0.8)


class AdaptiveGAN(ganzoo.GAN):
    """A GAN with an augmentation of its own, whatever the setting `augmentation` says."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.augmentation = Adaptive(self.config.target, self.config.speed)

    def generator_loss(self, *args: Any) -> Any:
        loss, logs = super().generator_loss(*args)
        return loss, logs | {"augmentation_p": self.augmentation.p.clone()}


@dataclass(frozen=True, kw_only=True)
class ADAConfig(ganzoo.Config):
    target: float = setting(0.6, "mean sign of D's logits of real images that p is adapted to", ge=-1, le=1)
    speed: int = setting(50_000, "images in which p may go from 0 to 1", ge=1)
    latent_dim: int = 16
    widths: tuple[int, ...] = setting((128, 128), "hidden layers of each network", ge=1)


class ADA(ganzoo.Architecture):
    api_version = 2
    summary = "augmentations whose probability follows the discriminator's overfitting"
    paper = "Karras et al. 2020, Training GANs with Limited Data, arXiv:2006.06676"
    Config = ADAConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        return AdaptiveGAN(generator, MLPDiscriminator(config.widths, spec), config, spec)
