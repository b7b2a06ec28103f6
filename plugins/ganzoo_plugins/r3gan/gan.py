"""The discriminator's loss of Huang et al. 2024, arXiv:2501.05441, algorithm 1, in one pass."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.gan import GAN, map_condition


class SharedPassGAN(GAN):
    """A GAN that computes loss, R1 and R2 from the same logits, which saves a forward pass of the discriminator."""

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None, rng: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if self.config.penalty != "r1r2" or self.config.penalty_interval > 1 or self.config.pack > 1:
            return super().discriminator_loss(real, fake, condition, rng)
        images = torch.cat([real, fake.to(real.dtype)]).detach().requires_grad_()
        seen = images if self.augmentation is None else torch.cat([self.augment(side) for side in images.chunk(2)])
        logits = self.discriminator(seen, map_condition(lambda x: torch.cat([x, x]), condition)).float()
        gradients = torch.autograd.grad(logits.sum(), images, create_graph=True)[0].flatten(1).float()
        penalty = gradients.square().sum(dim=1).mean()  # mean over 2N images = R1 + R2, each half of a mean over N
        value, logs = self.discriminator_objective(*logits.chunk(2))
        return value + self.penalty_weight * penalty, logs | {"penalty": penalty.detach()}
