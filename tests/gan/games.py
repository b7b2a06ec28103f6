"""Published training rules as GANs of version 2 of the contract, in the place of the architecture "vanilla"."""

from __future__ import annotations

import os
import signal
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn.functional import softplus

import ganzoo
from ganzoo.core import registry
from ganzoo.gan import GAN, Logs, MicroBatch, Player, StepContext
from ganzoo.nn import mlp
from ganzoo.training.callbacks import Callback


class PairDiscriminator(nn.Module):
    def __init__(self, outputs: int, latent: int):
        super().__init__()
        self.layers = mlp((outputs + latent, 64, 64, 1), nn.LeakyReLU(0.2))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.layers(torch.cat([x.flatten(1), z], dim=1)).flatten()  # type: ignore[no-any-return]


class BiGAN(GAN):
    """Donahue et al. 2017, arXiv:1605.09782: an encoder learns the inverse of the generator."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, config: Any, spec: Any):
        outputs = int(torch.tensor(spec.shape).prod())
        super().__init__(generator, PairDiscriminator(outputs, config.latent_dim), config, spec)
        layers = mlp((outputs, 64, config.latent_dim), nn.LeakyReLU(0.2))
        self.encoder = nn.Sequential(nn.Flatten(), *layers)

    def players(self) -> dict[str, Player]:
        optimizer = torch.optim.Adam(self.encoder.parameters(), self.config.generator_lr, (0.5, 0.999))
        return {**super().players(), "encoder": Player(optimizer, ("encoder",), average=True)}

    def training_step(self, step: StepContext) -> Logs:
        batch = step.batches()
        for players, sign in ((("discriminator",), 1), (("generator", "encoder"), -1)):
            with step.update(*players) as update:
                for micro in batch:
                    update.backward(*self.pair_loss(micro, step.generate(micro), sign))
        return step.logs

    def pair_loss(self, micro: MicroBatch, fake: Tensor, sign: int) -> tuple[Tensor, Logs]:
        on_real = self.discriminator(micro.real, self.encoder(micro.real)).float()
        on_fake = self.discriminator(fake, micro.z).float()
        logs = {"d_real": on_real.detach().sigmoid().mean(), "d_fake": on_fake.detach().sigmoid().mean()}
        return (softplus(-sign * on_real) + softplus(sign * on_fake)).mean(), logs


class Consensus(GAN):
    """Mescheder et al. 2017, arXiv:1705.10461: both networks at once, along v and the gradient of |v|^2 / 2."""

    gamma = 0.1

    def training_step(self, step: StepContext) -> Logs:
        (micro,), both = step.batches(), (self.discriminator, self.generator)
        ours, theirs = (list(network.parameters()) for network in both)
        with step.update("discriminator", "generator") as update:
            fake = step.generate(micro)
            d_loss, logs = self.discriminator_loss(micro.real, fake, micro.condition, step.rng)
            g_loss, _ = self.generator_loss(micro.real, fake, micro.condition)
            v = [*grad(d_loss, ours, create_graph=True), *grad(g_loss, theirs, create_graph=True)]
            v = [step.mean_over_ranks(gradient) for gradient in v]
            energy = grad(sum(x.square().sum() for x in v) / 2, ours + theirs)
            rule = [(x + self.gamma * y).detach() for x, y in zip(v, energy)]
            update.set_gradients("discriminator", rule[: len(ours)])
            update.set_gradients("generator", rule[len(ours) :])
        return step.logs | logs | {"discriminator_loss": d_loss.detach(), "generator_loss": g_loss.detach()}


class LazyR1(GAN):
    """Karras et al. 2020, arXiv:1912.04958: R1 in every 16th step, 16 times as strong."""

    every = 16

    def phase(self, step: int) -> Hashable:
        return step % self.every == 0

    def penalty(self, real: Tensor, fake: Tensor, condition: Tensor | None, rng: Any) -> tuple[Tensor | float, Logs]:
        if not self.phase(self.step_context.step):
            return 0.0, {}
        value, logs = super().penalty(real, fake, condition, rng)
        return self.every * value, logs


class Balanced(GAN):
    """Its losses are weighed by a Python number that training changes."""

    weight = 1.0

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Logs]:
        loss, logs = super().generator_loss(real, fake, condition)
        return self.weight * loss, logs

    def after_step(self, player: str) -> None:
        super().after_step(player)
        self.weight = 0.9 * self.weight + (0.2 if player == "generator" else 0.0)

    def state(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.weight = state["weight"]


GAMES = {game.__name__: game for game in (BiGAN, Consensus, LazyR1, Balanced)}
SETTINGS: dict[str, dict[str, Any]] = {
    "LazyR1": {"penalty": "r1", "penalty_weight": 1.0},
    "Consensus": {"penalty": "none"},
    "BiGAN": {"penalty": "none"},
    "Balanced": {},
}
SMALL = {"generator_widths": (32,), "discriminator_widths": (32,), "dropout": 0.0, "latent_dim": 4, "batch_size": 16}


class Card(registry.get_architecture("vanilla").card.__class__):  # type: ignore[misc]
    """The networks of "vanilla", trained by the rules of `game`."""

    game: type[GAN]

    def build(self, config: Any, spec: Any) -> GAN:
        built = super().build(config, spec)
        return self.game(built.generator, built.discriminator, config, spec)


def install(game: type[GAN]) -> None:
    """Train "vanilla" by the rules of `game` from now on, in this process."""
    card = Card()
    card.game = game
    registry.get_architecture("vanilla").__dict__["card"] = card


class Killer(Callback):
    """Kills this process after a step, as a power failure would."""

    def __init__(self, at: int):
        self.at = at

    def on_step(self, step: int, seconds: float) -> None:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def train(game: str, out: Path, options: dict[str, Any], kill_at: int | None = None, sgd: bool = False) -> None:
    """Train or resume the run at `out` by the rules of `game`; for processes of their own."""
    install(GAMES[game])
    if sgd:  # Adam turns the rounding error of a gradient into a step of full length
        GAN.make_optimizer = lambda gan, network, lr: torch.optim.SGD(network.parameters(), 0.02)  # type: ignore[method-assign]
    callbacks = [] if kill_at is None else [Killer(kill_at)]
    if (out / "config.json").exists():
        ganzoo.train(resume=out, steps=options["steps"], callbacks=callbacks)
    else:
        ganzoo.train("vanilla", out=out, callbacks=callbacks, **{**SMALL, **SETTINGS[game], **options})
