"""ganzoo's conformance checks, and the spectral norm of every layer."""

import torch
from ganzoo_sngan import SNGAN, SNGANConfig
from torch import nn

from ganzoo import DataSpec
from ganzoo.config import make
from ganzoo.testing import Check, parametrize_checks


@parametrize_checks("sngan-cnn", width=16)
def test_conformance(check: Check) -> None:
    check()


def test_every_layer_of_the_discriminator_has_spectral_norm_1() -> None:
    torch.manual_seed(0)
    gan = SNGAN().build(make(SNGANConfig, {"width": 8}), DataSpec(1, 16))
    for _ in range(50):  # each call is one step of the power iteration
        gan.discriminator(torch.randn(2, 1, 16, 16))
    weights = [layer.weight for layer in gan.discriminator.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert len(weights) == 8
    for weight in weights:
        assert abs(torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() - 1) < 0.02
