"""BiGAN (Donahue et al. 2017): an encoder learns the inverse of the generator.

    ganzoo train examples/files/bigan.py:BiGAN --dataset mnist

The discriminator sees pairs of an image and its noise: real images with what the encoder makes of them, and generated
images with the noise that they were generated from. `ganzoo.load(run).encoder(images)` gives the noise of real images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import ganzoo
from ganzoo.config import setting
from ganzoo.gan import Logs, MicroBatch, Player, StepContext
from ganzoo.nn import MLPGenerator, mlp
from ganzoo.plugin import DataSpec


class PairDiscriminator(nn.Module):
    """Images [N, ...] and their noise [N, latent_dim] -> logits [N]."""

    def __init__(self, config: BiGANConfig, spec: DataSpec):
        super().__init__()
        inputs = math.prod(spec.shape) + config.latent_dim
        self.layers = mlp((inputs, *config.widths, 1), nn.LeakyReLU(0.2))

    def forward(self, images: Tensor, z: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([images.flatten(1), z], dim=1)).squeeze(1)
        return logits


class BiGANGame(ganzoo.GAN):
    """Three players: the encoder and the generator play together against the discriminator."""

    def __init__(self, config: BiGANConfig, spec: DataSpec):
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        super().__init__(generator, PairDiscriminator(config, spec), config, spec)
        layers = mlp((math.prod(spec.shape), *config.widths, config.latent_dim), nn.LeakyReLU(0.2))
        self.encoder = nn.Sequential(nn.Flatten(), *layers)

    def players(self) -> dict[str, Player]:
        optimizer = self.make_optimizer(self.encoder, self.config.generator_lr)
        return {**super().players(), "encoder": Player(optimizer, ("encoder",), average=True)}

    def training_step(self, step: StepContext) -> Logs:
        for players, sign in ((("discriminator",), 1), (("generator", "encoder"), -1)):
            with step.update(*players) as update:
                for micro in step.batches():
                    update.backward(*self.pair_loss(micro, step.generate(micro), sign))
        return step.logs

    def pair_loss(self, micro: MicroBatch, fake: Tensor, sign: int) -> tuple[Tensor, Logs]:
        on_real = self.discriminator(self.augment(micro.real), self.encoder(micro.real)).float()
        on_fake = self.discriminator(self.augment(fake), micro.z).float()
        logs = {"d_real": on_real.detach().sigmoid().mean(), "d_fake": on_fake.detach().sigmoid().mean()}
        return (softplus(-sign * on_real) + softplus(sign * on_fake)).mean(), logs


@dataclass(frozen=True, kw_only=True)
class BiGANConfig(ganzoo.Config):
    loss: Literal["own"] = setting("own", "that of the paper, eq. 3")
    penalty: Literal["none"] = "none"
    latent_dim: int = 16
    widths: tuple[int, ...] = setting((256, 256), "hidden layers of each network", ge=1)


class BiGAN(ganzoo.Architecture):
    api_version = 2
    summary = "an encoder learns the inverse of the generator"
    paper = "Donahue et al. 2017, Adversarial Feature Learning, arXiv:1605.09782; Dumoulin et al., arXiv:1606.00704"
    kinds = ("images", "points")
    Config = BiGANConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        return BiGANGame(config, spec)
