"""GANs whose discriminator has an auxiliary head, which predicts ACGAN's classes or InfoGAN's codes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ganzoo.gan.base import GAN
from ganzoo.gan.step import Logs
from ganzoo.losses import get_loss


class AuxiliaryGAN(GAN):
    """A GAN whose discriminator also predicts the condition of an image; both networks minimise the prediction's loss.

    The discriminator needs a method `predict(images)` that returns logits [N] and predictions [N, outputs], as
    `ganzoo.nn.dcgan.TwoHeadedDiscriminator` has. Subclasses define `auxiliary_loss`, and whether the discriminator
    learns it from real or from generated images.
    """

    packs = False
    learns_from: Literal["real", "fake"]
    generator_weight: float = 1.0
    """Weight of the auxiliary loss in the generator, as a multiple of its weight in the discriminator."""

    def auxiliary_loss(self, prediction: Tensor, condition: Tensor) -> tuple[Tensor, Logs]:
        """The weighted loss of a `prediction` [N, outputs] for images of this `condition`, and logs."""
        raise NotImplementedError

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, Logs]:
        assert condition is not None
        real_logits, real_prediction = self._predict(real)
        fake_logits, fake_prediction = self._predict(fake)
        value, logs = self.discriminator_objective(real_logits, fake_logits)
        penalty, penalty_logs = self.penalty(real, fake, condition, rng)
        auxiliary, _ = self.auxiliary_loss(
            real_prediction if self.learns_from == "real" else fake_prediction, condition
        )
        return value + penalty + auxiliary, logs | penalty_logs

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Logs]:
        assert condition is not None
        fake_logits, prediction = self._predict(fake)
        real_logits = self._predict(real)[0] if get_loss(self.config.loss).relativistic else None
        auxiliary, logs = self.auxiliary_loss(prediction, condition)
        return self.generator_objective(real_logits, fake_logits) + self.generator_weight * auxiliary, logs

    def _predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, prediction = self.discriminator.predict(self.augment(images))  # type: ignore[operator]
        return logits.float(), prediction.float()
