"""GANs whose discriminator says more of an image than whether it is real: ACGAN's classes, InfoGAN's codes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ganzoo.gan.base import GAN, Logs
from ganzoo.losses import LOSSES


class AuxiliaryGAN(GAN):
    """A GAN with a two-headed discriminator: its second head reads the condition of an image, and the generator helps.

    Subclasses say by `auxiliary_loss` how well it reads, and by `learns_from` which images it learns to read from.
    """

    learns_from: Literal["real", "fake"]

    def auxiliary_loss(self, read: Tensor, condition: Tensor) -> tuple[Tensor, Logs]:
        """The loss, weight included, of what the second head `read` in images of that `condition`, and signals."""
        raise NotImplementedError

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, Logs]:
        assert condition is not None
        on_real, read_in_real = self._both_heads(real)
        on_fake, read_in_fake = self._both_heads(fake)
        value, signals = self.discriminator_objective(on_real, on_fake)
        penalty, more = self.penalty(real, fake, condition, rng)
        auxiliary, _ = self.auxiliary_loss(read_in_real if self.learns_from == "real" else read_in_fake, condition)
        return value + penalty + auxiliary, signals | more

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Logs]:
        assert condition is not None
        on_fake, read = self._both_heads(fake)
        on_real = self._both_heads(real)[0] if LOSSES[self.config.loss].relativistic else None
        auxiliary, signals = self.auxiliary_loss(read, condition)
        return self.generator_objective(on_real, on_fake) + auxiliary, signals

    def _both_heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, read = self.discriminator.both_heads(images)  # type: ignore[operator]
        return logits.float(), read.float()
