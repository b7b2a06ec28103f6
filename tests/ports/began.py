"""BEGAN (Berthelot et al. 2017): the discriminator is an autoencoder, and k_t balances the players."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.gan import Logs
from ganzoo.nn import MLPGenerator, mlp
from ganzoo.plugin import DataSpec


class Autoencoder(nn.Module):
    """Images [N, ...] -> the negative error [N] of their reconstruction."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        inputs = math.prod(spec.shape)
        self.layers = mlp((inputs, *config.widths, inputs), nn.ELU())

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        x = images.flatten(1)
        return -(self.layers(x) - x).abs().mean(1)  # type: ignore[no-any-return]


class Balance(ganzoo.GAN):
    """Section 3.4; k is a buffer, computed from the means over all ranks."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.register_buffer("k", torch.zeros(()))
        self.register_buffer("balance", torch.zeros(()))

    def discriminator_objective(self, on_real: Tensor | None, on_fake: Tensor | None) -> tuple[Tensor, Logs]:
        assert on_real is not None
        assert on_fake is not None
        real, fake = -on_real.mean(), -on_fake.mean()
        balance = self.config.gamma * real.detach() - fake.detach()
        self.balance.copy_(self.step_context.mean_over_ranks(balance))
        measure = real.detach() + balance.abs()
        return real - self.k * fake, {"measure": measure, "k": self.k.clone()}

    def generator_objective(self, on_real: Tensor | None, on_fake: Tensor) -> Tensor:
        return -on_fake.mean()

    def after_step(self, player: str) -> None:
        super().after_step(player)
        if player == "discriminator":
            self.k.add_(self.config.speed * self.balance).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class BEGANConfig(ganzoo.Config):
    loss: Literal["own"] = setting("own", "the difference of reconstruction errors")
    penalty: Literal["none"] = "none"
    gamma: float = setting(0.5, "diversity ratio", ge=0, le=1)
    speed: float = setting(0.05, "learning rate of k", ge=0)
    latent_dim: int = 8
    widths: tuple[int, ...] = setting((16,), "hidden layers", ge=1)


class BEGAN(ganzoo.Architecture):
    api_version = 2
    summary = "an autoencoder as discriminator, in balance"
    paper = "Berthelot et al. 2017, BEGAN, arXiv:1703.10717"
    Config = BEGANConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        return Balance(generator, Autoencoder(config, spec), config, spec)
