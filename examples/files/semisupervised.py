"""Semi-supervised learning with K + 1 classes (Salimans et al. 2016): the discriminator is also a classifier.

    ganzoo train examples/files/semisupervised.py:SemiSupervised --dataset mnist

`ganzoo.load(run).discriminator.classify(images)` gives logits of the K classes. Labels of -1 are unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.gan import Logs
from ganzoo.nn import MLPGenerator, mlp
from ganzoo.plugin import DataSpec


class Classifier(nn.Module):
    """Images [N, ...] -> logits [N] of "real", log sum exp of those of K classes: section 5."""

    def __init__(self, config: SemiSupervisedConfig, spec: DataSpec):
        super().__init__()
        self.layers = mlp((math.prod(spec.shape), *config.widths, spec.classes), nn.LeakyReLU(0.2))

    def classify(self, images: Tensor) -> Tensor:
        """Logits [N, classes]; that of the class "generated" is fixed at 0."""
        logits: Tensor = self.layers(images.flatten(1))
        return logits

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.classify(images).float().logsumexp(1)


class SemiSupervisedGAN(ganzoo.GAN):
    """The labels teach the discriminator alone; the generator is unconditional."""

    @property
    def classes(self) -> int:
        """No label can be asked for when sampling."""
        return 0

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, Logs]:
        loss, logs = super().discriminator_loss(real, fake, condition, rng)
        classified = self.discriminator.classify(self.augment(real)).float()
        known = condition >= 0
        errors = F.cross_entropy(classified, condition.clamp(min=0), reduction="none") * known
        accuracy = (classified.argmax(1) == condition).float().mean()
        return loss + self.config.label_weight * errors.mean(), logs | {"accuracy": accuracy}


@dataclass(frozen=True, kw_only=True)
class SemiSupervisedConfig(ganzoo.Config):
    label_weight: float = setting(1.0, "weight of the classification of real images", ge=0)
    latent_dim: int = 16
    widths: tuple[int, ...] = setting((256, 128), "hidden layers of each network", ge=1)


class SemiSupervised(ganzoo.Architecture):
    api_version = 2
    summary = "a discriminator that classifies K classes, and generated images as one more"
    paper = "Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498, section 5"
    conditional = True
    unknown_labels = True
    steers = ("discriminator",)
    Config = SemiSupervisedConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        return SemiSupervisedGAN(generator, Classifier(config, spec), config, spec)
