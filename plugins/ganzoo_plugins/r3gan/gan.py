"""The discriminator's side of Huang et al. 2024, arXiv:2501.05441, algorithm 1, in one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.gan import GAN


class SharedPassGAN(GAN):
    """A GAN whose R1 and R2 are taken from the logits that the loss is made of, which saves a pass of the critic."""

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.config.penalty != "r1r2":
            return super().discriminator_loss(real, fake, condition, rng)
        images = torch.cat([real, fake.to(real.dtype)]).detach().requires_grad_()
        logits = self.discriminator(images, condition).float()
        slopes = torch.autograd.grad(logits.sum(), images, create_graph=True)[0].flatten(1).float()
        penalty = slopes.square().sum(dim=1).mean()  # over 2N images: R1 + R2, each a half of the mean over N
        value, signals = self.discriminator_objective(*logits.chunk(2))
        return value + self.penalty_weight * penalty, signals | {"penalty": penalty.detach()}
