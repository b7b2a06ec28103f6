"""The objective of pix2pix."""

from __future__ import annotations

from torch import Tensor

from ganzoo import GAN


class L1GAN(GAN):
    """A GAN with an L1 term in the generator's loss: Isola et al. 2017, eq. 4."""

    def generator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        adversarial, logs = super().generator_loss(real, fake, condition)
        l1 = (fake.float() - real).abs().mean()
        return adversarial + self.config.l1_weight * l1, logs | {"l1": l1.detach()}
