"""Unrolled GAN (Metz et al. 2017): the generator learns against the discriminator a few steps ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

import ganzoo
from ganzoo.config import setting
from ganzoo.gan import Logs
from ganzoo.nn import MLPDiscriminator, MLPGenerator
from ganzoo.plugin import DataSpec


class Unrolled(ganzoo.GAN):
    """The gradient of the generator goes through the discriminator's steps of gradient descent: eq. 10."""

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Logs]:
        weights = {n: p.detach().clone().requires_grad_() for n, p in self.discriminator.named_parameters()}
        real, fake = self.augment(real), self.augment(fake)
        for _ in range(self.config.unroll):
            on_real, on_fake = (functional_call(self.discriminator, weights, (x,)).float() for x in (real, fake))
            loss, _ = self.discriminator_objective(on_real, on_fake)
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {n: w - self.config.unroll_lr * g for (n, w), g in zip(weights.items(), gradients)}
        on_real, on_fake = (functional_call(self.discriminator, weights, (x,)).float() for x in (real, fake))
        return self.generator_objective(on_real, on_fake), {}


@dataclass(frozen=True, kw_only=True)
class UnrolledConfig(ganzoo.Config):
    unroll: int = setting(3, "steps that the discriminator is unrolled", ge=0)
    unroll_lr: float = setting(0.1, "learning rate of these steps", gt=0)
    latent_dim: int = 8
    widths: tuple[int, ...] = setting((16,), "hidden layers", ge=1)


class UnrolledGAN(ganzoo.Architecture):
    api_version = 2
    summary = "the generator sees the discriminator's next steps"
    paper = "Metz et al. 2017, Unrolled GANs, arXiv:1611.02163"
    kinds = ("images", "points")
    Config = UnrolledConfig

    def expected_failures(self, config: Any) -> dict[str, str]:  # type: ignore[override]
        if not config.unroll:
            return {}
        return {"accumulate": "the unrolled steps are gradients of a part of the batch"}

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        return Unrolled(generator, MLPDiscriminator(config.widths, spec), config, spec)
