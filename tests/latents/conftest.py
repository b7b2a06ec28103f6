from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ganzoo.core import registry
from ganzoo.gan import GAN
from ganzoo.testing.fixtures import ArchitectureFixture

NAMES = [e.name for e in registry.architectures() if e.error is None and not e.card.paired and "images" in e.card.kinds]
Build = Callable[..., GAN]


@pytest.fixture
def build() -> Build:
    """New networks of an architecture for its smallest data, in eval mode, as `ganzoo.load` returns them."""

    def networks(name: str, **settings: object) -> GAN:
        card = registry.get_architecture(name).card
        gan = ArchitectureFixture(card, {}).build(**settings).eval()
        for module in gan.generator.modules():  # new networks map all noise to nearly the same image
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = None
        gan.generator.train()
        gan.generate(gan.latent(64), _condition(gan, 64))
        return gan.eval()

    return networks


def _condition(gan: GAN, n: int) -> torch.Tensor | None:
    return gan.condition(gan.class_labels(n), n)
