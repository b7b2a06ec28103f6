"""Checks of the forward pass find the mistakes they are meant for."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from tests.testing.architectures import Discriminator, Forgetful, Generator, assert_found, mistake


class Locked(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.lock = threading.Lock()


class Closure(Generator):
    """Its copies use the bias of the original."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.activation = lambda pixels: (pixels + self.layer.bias).tanh()

    def finish(self, pixels: Tensor) -> Tensor:
        return self.activation(pixels)


class LouderNoise(Generator):
    def forward(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(z.mul_(2), condition)


class DarkerImages(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        images.data.mul_(0.5)  # which autograd does not notice
        return super().forward(images, condition)


class NextLabels(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images, condition.add_(1).remainder_(10))


class Ageing(Generator):
    def __init__(self, config: Any, spec: DataSpec):
        super().__init__(config, spec)
        self.register_buffer("age", torch.zeros(()))

    def finish(self, pixels: Tensor) -> Tensor:
        self.age += 0.01
        return (pixels + self.age).tanh()


class NumpyNoise(Discriminator):
    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return super().forward(images + float(np.random.default_rng().normal()), condition)


class CoinToss(GAN):
    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        fake = fake if random.random() < 0.5 else fake.flip(3)
        return super().generator_loss(real, fake, condition)


class GlobalNumpyNoise(GAN):
    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Any:
        return super().generator_loss(real, fake + float(np.random.randn()), condition)


class OnTheCpu(Generator):
    def finish(self, pixels: Tensor) -> Tensor:
        return (pixels + torch.zeros(pixels.shape[1])).tanh()


MISTAKES = [
    mistake("copies", Locked, "the networks cannot be copied: TypeError: cannot pickle '_thread.lock' object"),
    mistake("copies", Closure, "a copy of the generator still uses the original's parameters"),
    mistake("side_effects", LouderNoise, "the generator's forward() changes argument 1, [4, 100], in place"),
    mistake("side_effects", DarkerImages, "the discriminator's forward() changes argument 1, [4, 1, 8, 8], in place"),
    mistake("side_effects", NextLabels, "the discriminator's forward() changes argument 2, [4], in place"),
    mistake("side_effects", Ageing, "in eval mode, forward() changes generator.age"),
    mistake("side_effects", Forgetful, "the generator computes two results from the same input"),
    mistake("side_effects", NumpyNoise, "the discriminator computes two results from the same input"),
    mistake("side_effects", CoinToss, "a step draws from the global state of random,"),
    mistake("side_effects", GlobalNumpyNoise, "a step draws from the global state of numpy.random,"),
    mistake("device", OnTheCpu, "pixels + torch.zeros(pixels.shape[1])"),
]


@pytest.mark.parametrize(("name", "attributes", "problem"), MISTAKES)
def test_each_mistake_is_found(name: str, attributes: dict[str, Any], problem: str) -> None:
    assert_found(name, attributes, problem)
