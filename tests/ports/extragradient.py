"""Extragradient (Gidel et al. 2019): both players move by the gradient at a point one step ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.autograd import grad

import ganzoo
from ganzoo.config import setting
from ganzoo.gan import Logs, StepContext
from ganzoo.nn import MLPDiscriminator, MLPGenerator
from ganzoo.plugin import DataSpec


class Extragradient(ganzoo.GAN):
    """Two simultaneous updates; the second starts from where the first one did: algorithm 4, with any optimizer."""

    def training_step(self, step: StepContext) -> Logs:
        players = {"discriminator": self.discriminator, "generator": self.generator}
        parameters = {name: list(network.parameters()) for name, network in players.items()}
        start = [parameter.detach().clone() for own in parameters.values() for parameter in own]
        for move in ("extrapolate", "update"):
            with step.update(*players) as update:
                losses, logs = self.losses(step)
                for name, own in parameters.items():
                    update.set_gradients(name, grad(losses[name], own, retain_graph=True))
                if move == "update":
                    torch._foreach_copy_([p.data for own in parameters.values() for p in own], start)
        return step.logs | logs | {f"{name}_loss": loss.detach() for name, loss in losses.items()}

    def losses(self, step: StepContext) -> tuple[dict[str, Any], Logs]:
        """The losses of both players, means over the batch, and logs."""
        sides: list[dict[str, Any]] = []
        logs: Logs = {}
        for micro in step.batches():
            fake = step.generate(micro)
            loss, logs = self.discriminator_loss(micro.real, fake, micro.condition, step.rng)
            sides.append(
                {"discriminator": loss, "generator": self.generator_loss(micro.real, fake, micro.condition)[0]}
            )
        return {name: torch.stack([side[name] for side in sides]).mean() for name in sides[0]}, logs


@dataclass(frozen=True, kw_only=True)
class ExtragradientConfig(ganzoo.Config):
    penalty: Literal["none", "r1"] = "none"
    latent_dim: int = 8
    widths: tuple[int, ...] = setting((16,), "hidden layers", ge=1)


class ExtragradientGAN(ganzoo.Architecture):
    api_version = 2
    summary = "a step ahead, then the step by the gradient found there"
    paper = "Gidel et al. 2019, A Variational Inequality Perspective on GANs, arXiv:1802.10551"
    kinds = ("images", "points")
    Config = ExtragradientConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        return Extragradient(generator, MLPDiscriminator(config.widths, spec), config, spec)
