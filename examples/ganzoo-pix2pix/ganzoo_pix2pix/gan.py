"""The objective of pix2pix."""

from __future__ import annotations

from torch import Tensor

from ganzoo import GAN


class L1GAN(GAN):
    """A GAN whose generator is also told how far it is from the true image: Isola et al. 2017, eq. 4."""

    def generator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        adversarial, signals = super().generator_loss(real, fake, condition)
        l1 = (fake.float() - real).abs().mean()
        return adversarial + self.config.l1_weight * l1, signals | {"l1": l1.detach()}
