from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.nn import uses_batch_statistics


def build(spec: DataSpec, **overrides: Any) -> GAN:
    torch.manual_seed(0)
    card = registry.get_architecture("r3gan").card
    gan: GAN = card.build(make(card.Config, overrides), spec)
    return gan


def test_settings_of_the_paper() -> None:
    gan = build(DataSpec(1, 28))
    config = gan.config
    assert (config.loss, config.penalty, config.discriminator_steps) == ("relativistic", "r1r2", 1)
    assert (config.beta1, config.beta2) == (0.0, 0.99)
    norms = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)
    assert not any(isinstance(module, norms) for module in gan.modules())
    assert not uses_batch_statistics(gan.discriminator)


def test_every_block_is_initialised_to_identity() -> None:
    gan = build(DataSpec(3, 32), width=8)
    blocks = [module for module in gan.modules() if type(module).__name__ == "Block"]
    assert len(blocks) == 6
    for block in blocks:
        maps = torch.randn(2, block.widen.in_channels, 4, 4)  # type: ignore[union-attr, arg-type]
        assert torch.equal(block(maps), maps)


def test_initial_outputs_are_of_moderate_size() -> None:
    for spec in (DataSpec(1, 8), DataSpec(3, 64)):
        gan = build(spec, width=16)
        images = gan.generate(gan.latent(64))
        assert 0.2 < images.std() < 0.9
        assert 0.05 < gan.discriminator(torch.randn(64, spec.channels, spec.size, spec.size)).std() < 5


def test_number_and_width_of_blocks_can_be_set() -> None:
    gan = build(DataSpec(1, 16), width=24, expansion=3, group_width=16, blocks=2)
    mixes = [module.mix for module in gan.discriminator.modules() if type(module).__name__ == "Block"]
    assert [(mix.in_channels, mix.groups) for mix in mixes] == [(64, 4)] * 2 + [(144, 9)] * 2  # type: ignore[union-attr]


def test_one_pass_computes_the_loss_and_the_penalty_of_separate_passes() -> None:
    gan = build(DataSpec(1, 16), width=8, penalty_weight=2.5)
    for parameter in gan.discriminator.parameters():  # otherwise the blocks are identities
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    real, fake = torch.randn(2, 5, 1, 16, 16)
    weights = list(gan.discriminator.parameters())
    value, logs = gan.discriminator_loss(real, fake)
    expected, expected_logs = GAN.discriminator_loss(gan, real, fake)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(logs, expected_logs)
    torch.testing.assert_close(torch.autograd.grad(value, weights), torch.autograd.grad(expected, weights))
