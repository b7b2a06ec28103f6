"""The discriminator of K + 1 classes: Salimans et al. 2016, arXiv:1606.03498, section 5."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.gan import GAN, Logs
from ganzoo.nn import ConvHead, initialise
from ganzoo.nn.dcgan import Discriminator
from ganzoo.plugin import DataSpec
from ganzoo_plugins.sgan import SGANConfig


class Classifier(Discriminator):
    """Images [N, C, size, size] -> logits [N] of "real", log sum exp of those of the K classes."""

    def __init__(self, config: SGANConfig, spec: DataSpec):
        super().__init__(config.width, spec, norm=config.discriminator_norm == "batch")
        self.head = ConvHead(self.head.in_channels, spec.classes, self.head.kernel_size[0])
        initialise(self.head)

    def classify(self, images: Tensor) -> Tensor:
        """Logits [N, K]; that of the class "generated" is fixed at 0."""
        logits: Tensor = self.head(self.blocks(images)).flatten(1)
        return logits

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.classify(images).float().logsumexp(1)


class SemiSupervisedGAN(GAN):
    """The labels teach the discriminator alone; the generator is unconditional."""

    @property
    def classes(self) -> int:
        """No label can be asked for when sampling."""
        return 0

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, Logs]:
        """The adversarial loss, plus the classification loss of real images whose label is known, not -1."""
        assert condition is not None
        classified = self.discriminator.classify(self.augment(real)).float()  # type: ignore[operator]
        on_fake = self.discriminator(self.augment(fake)).float()
        loss, logs = self.discriminator_objective(classified.logsumexp(1), on_fake)
        penalty, penalty_logs = self.penalty(real, fake, condition, rng)
        known = (condition >= 0).float()
        errors = F.cross_entropy(classified, condition.clamp(min=0), reduction="none") * known
        right = (classified.argmax(1) == condition).float().sum() / known.sum().clamp(min=1)
        return loss + penalty + self.config.label_weight * errors.mean(), {**logs, **penalty_logs, "accuracy": right}
