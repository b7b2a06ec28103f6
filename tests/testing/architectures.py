"""A correct architecture for the tests of the checks, and mistakes to put into it."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from ganzoo.core import plugin
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.testing import architecture_checks, run


class Generator(nn.Module):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.shape = (spec.channels, spec.size, spec.size)
        self.embed = nn.Embedding(max(spec.classes, 1), 4)
        self.layer = nn.Linear(config.latent_dim + 4, spec.channels * spec.size**2)

    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        code = self.embed(torch.zeros(len(z), dtype=torch.int64) if condition is None else condition)
        return self.finish(self.layer(torch.cat([z, code], dim=1))).reshape(-1, *self.shape)

    def finish(self, pixels: Tensor) -> Tensor:
        return pixels.tanh()


class Discriminator(nn.Module):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.layer = nn.Linear(spec.channels * spec.size**2 + 4, 1)
        self.embed = nn.Embedding(max(spec.classes, 1), 4)

    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        code = self.embed(torch.zeros(len(images), dtype=torch.int64) if condition is None else condition)
        return self.layer(torch.cat([images.flatten(1), code], dim=1)).squeeze(1)


class Good(plugin.Architecture):
    """Two linear layers; passes every check."""

    __module__ = "ganzoo.core.plugin"  # this module imports torch, which `metadata` would report

    api_version = 1
    summary = "one layer against another"
    paper = "none"
    conditional = True
    generator: ClassVar[Any] = Generator
    discriminator: ClassVar[Any] = Discriminator
    game: ClassVar[Any] = GAN

    def build(self, config: Any, spec: DataSpec) -> GAN:
        return self.game(self.generator(config, spec), self.discriminator(config, spec), config, spec)


class Unbounded(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        return pixels


class Forgetful(Generator):
    """Its scale is a Python attribute, which no checkpoint contains."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.scale = torch.rand(()).item()

    def finish(self, pixels: Tensor) -> Tensor:
        self.scale *= 1.01
        return (pixels * self.scale).tanh()


class Peeking(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        return pixels.tanh() if pixels.mean() < 100 else pixels


class Probability(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition).sigmoid()


class OneLoss(GAN):
    def discriminator_objective(self, on_real: Tensor, on_fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        value = on_fake.mean() - on_real.mean()
        return value, {"d_real": on_real.detach().mean(), "d_fake": on_fake.detach().mean()}

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        return -self.discriminator(fake, condition).mean(), {}


class FrozenFeatures(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.BatchNorm2d(1))
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenFeatures:
        return super().train(False)


class Pretrained(Discriminator):
    """Judges frozen features of images, whose batch norm stays in eval mode."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.features = FrozenFeatures() if spec.channels == 1 else nn.Identity()

    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(self.features(images), condition)


class PackedDiscriminator(Discriminator):
    """PacGAN: one logit for two images."""

    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition).unflatten(0, (-1, 2)).mean(1)


def mistake(name: str, part: type, problem: str) -> Any:
    """The check called `name` must find `problem` in an architecture with this generator, discriminator or GAN."""
    slot = (
        "generator" if issubclass(part, Generator) else "discriminator" if issubclass(part, Discriminator) else "game"
    )
    return pytest.param(name, {slot: part}, problem, id=f"{name}-{part.__name__}")


def outcome(card: type[plugin.Architecture], name: str) -> Any:
    return run(next(check for check in architecture_checks(card) if check.name == name))


def assert_found(name: str, attributes: dict[str, Any], problem: str) -> None:
    """The check called `name` finds `problem` in `Good` with these `attributes`, and says what to change."""
    result = outcome(type("Mistaken", (Good,), attributes), name)
    assert result.status == "failed"
    assert problem in result.error.problem
    assert "\nChange: " in str(result.error)
