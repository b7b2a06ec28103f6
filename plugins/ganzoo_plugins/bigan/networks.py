"""The perceptrons and the game of Donahue et al. 2017, arXiv:1605.09782, sections 3 and 4.1."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganzoo.gan import GAN, Logs, MicroBatch, Player, StepContext
from ganzoo.nn import MLPGenerator, mlp
from ganzoo.plugin import DataSpec
from ganzoo_plugins.bigan import BiGANConfig


class BiGANGame(GAN):
    """The encoder and the generator play together against a discriminator of pairs.

    It sees real images with what the encoder makes of them, and generated images with the noise they were made from.
    """

    packs = False

    def __init__(self, config: BiGANConfig, spec: DataSpec):
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        super().__init__(generator, PairDiscriminator(config, spec), config, spec)
        layers = mlp((math.prod(spec.shape), *config.widths, config.latent_dim), nn.LeakyReLU(0.2))
        self.encoder = nn.Sequential(nn.Flatten(), *layers)

    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Noise uniform in [-1, 1], [n, latent_dim]."""
        return torch.rand(n, self.config.latent_dim, device=self.device, generator=rng) * 2 - 1

    def reconstruct(self, images: Tensor) -> Tensor:
        """What the generator makes of the encoder's noise for images [N, *spec.shape] in [-1, 1]; same shape."""
        return self.generate(self.encoder(images))

    def players(self) -> dict[str, Player]:
        optimizer = self.make_optimizer(self.encoder, self.config.generator_lr)
        return {**super().players(), "encoder": Player(optimizer, ("encoder",), average=True)}

    def training_step(self, step: StepContext) -> Logs:
        for k in range(self.config.discriminator_steps):
            self._update(step, k, ("discriminator",), 1)
        self._update(step, 0, ("generator", "encoder"), -1)
        return step.logs

    def _update(self, step: StepContext, k: int, players: tuple[str, ...], sign: int) -> None:
        with step.update(*players) as update:
            for micro in step.batches(k):
                update.backward(*self.pair_loss(micro, step.generate(micro), sign))

    def pair_loss(self, micro: MicroBatch, fake: Tensor, sign: int) -> tuple[Tensor, Logs]:
        """The loss of the discriminator (`sign` 1), or of the generator and the encoder (-1): eq. 3 and section 3.4."""
        on_real = self.discriminator(self.augment(micro.real), self.encoder(micro.real)).float()
        on_fake = self.discriminator(self.augment(fake), micro.z).float()
        logs = {"d_real": on_real.detach().sigmoid().mean(), "d_fake": on_fake.detach().sigmoid().mean()}
        return (softplus(-sign * on_real) + softplus(sign * on_fake)).mean(), logs


class PairDiscriminator(nn.Module):
    """Images [N, *spec.shape] and their noise [N, latent_dim] -> logits [N]."""

    def __init__(self, config: BiGANConfig, spec: DataSpec):
        super().__init__()
        inputs = math.prod(spec.shape) + config.latent_dim
        self.layers = mlp((inputs, *config.widths, 1), nn.LeakyReLU(0.2))

    def forward(self, images: Tensor, z: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([images.flatten(1), z], dim=1)).squeeze(1)
        return logits
