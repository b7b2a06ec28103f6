"""ganzoo's conformance checks, and the properties of pix2pix."""

from __future__ import annotations

import pytest
import torch
from ganzoo_pix2pix import Pix2Pix, Pix2PixConfig

from ganzoo import DataSpec
from ganzoo.config import make
from ganzoo.gan import GAN
from ganzoo.testing import Check, parametrize_checks


@parametrize_checks("ganzoo-pix2pix:pix2pix")
def test_conformance(check: Check) -> None:
    check()


def build(spec: DataSpec, **overrides: object) -> GAN:
    torch.manual_seed(0)
    return Pix2Pix().build(make(Pix2PixConfig, {"width": 8, **overrides}), spec)


@pytest.mark.parametrize(("size", "channels"), [(4, 1), (8, 3), (28, 1), (30, 1), (64, 4)])
def test_input_and_output_may_have_different_channels(size: int, channels: int) -> None:
    gan = build(DataSpec(3, size, inputs=channels))
    inputs = torch.randn(2, channels, size, size)
    images = gan.generate(gan.latent(2), inputs)
    assert images.shape == (2, 3, size, size)
    assert gan.discriminator(images, inputs).shape[0] == 2


def test_a_logit_depends_only_on_its_patch() -> None:
    gan = build(DataSpec(1, 64, inputs=1), discriminator_norm="none").eval()
    images, inputs = torch.randn(1, 1, 64, 64), torch.randn(1, 1, 64, 64)
    other = images.clone()
    other[..., :4, :4] += 1
    changed = (gan.discriminator(images, inputs) != gan.discriminator(other, inputs))[0]
    assert changed.shape == (16, 16)
    assert changed[:2, :2].all()
    assert not changed[5:].any()
    assert not changed[:, 5:].any()


def test_the_l1_term_has_its_weight() -> None:
    real, fake, inputs = (torch.rand(3, 1, 8, 8) for _ in range(3))
    losses = {}
    for weight in (0.0, 10.0):
        gan = build(DataSpec(1, 8, inputs=1), l1_weight=weight).eval()
        losses[weight], logs = gan.generator_loss(real, fake, inputs)
    torch.testing.assert_close(logs["l1"], (real - fake).abs().mean())
    torch.testing.assert_close(losses[10.0] - losses[0.0], 10 * logs["l1"])
