"""Consensus optimisation (Mescheder et al. 2017): both networks at once, with a penalty on the game's gradient field.

ganzoo train examples/files/consensus.py:Consensus --dataset ring
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import grad

import ganzoo
from ganzoo.config import setting
from ganzoo.gan import Logs, StepContext
from ganzoo.nn import MLPDiscriminator, MLPGenerator
from ganzoo.plugin import DataSpec


class ConsensusGame(ganzoo.GAN):
    """Both players follow v + gamma * grad |v|^2 / 2, where v is the gradient of each one's own loss: algorithm 2."""

    def training_step(self, step: StepContext) -> Logs:
        ours, theirs = (list(network.parameters()) for network in (self.discriminator, self.generator))
        with step.update("discriminator", "generator") as update:
            d_loss, g_loss, logs = self.both_losses(step)
            v = [*grad(d_loss, ours, create_graph=True), *grad(g_loss, theirs, create_graph=True)]
            v = [step.mean_over_ranks(gradient) for gradient in v]
            energy = grad(sum(x.square().sum() for x in v) / 2, ours + theirs)
            rule = [x + self.config.gamma * y for x, y in zip(v, energy)]
            update.set_gradients("discriminator", rule[: len(ours)])
            update.set_gradients("generator", rule[len(ours) :])
        return step.logs | logs

    def both_losses(self, step: StepContext) -> tuple[Tensor, Tensor, Logs]:
        """The losses of both players, as means over the batch, and logs."""
        losses, logs = [], {}
        for micro in step.batches():
            fake = step.generate(micro)
            d_loss, logs = self.discriminator_loss(micro.real, fake, micro.condition, step.rng)
            losses.append(torch.stack([d_loss, self.generator_loss(micro.real, fake, micro.condition)[0]]))
        d_loss, g_loss = torch.stack(losses).mean(0)
        return d_loss, g_loss, logs | {"discriminator_loss": d_loss.detach(), "generator_loss": g_loss.detach()}


@dataclass(frozen=True, kw_only=True)
class ConsensusConfig(ganzoo.Config):
    penalty: Literal["none"] = "none"
    gamma: float = setting(10.0, "weight of the penalty on the gradient field", ge=0)
    latent_dim: int = 16
    widths: tuple[int, ...] = setting((128, 128), "hidden layers of each network", ge=1)


class Consensus(ganzoo.Architecture):
    api_version = 2
    summary = "both networks move at once, towards a point where neither has a gradient"
    paper = "Mescheder et al. 2017, The Numerics of GANs, arXiv:1705.10461"
    kinds = ("images", "points")
    Config = ConsensusConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        generator = MLPGenerator(config.latent_dim, config.widths, spec)
        return ConsensusGame(generator, MLPDiscriminator(config.widths, spec), config, spec)
