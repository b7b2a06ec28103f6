"""ACGAN and InfoGAN: what the second head learns, and from which images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ganzoo
from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN


def build(name: str, spec: DataSpec, **overrides: Any) -> GAN:
    torch.manual_seed(0)
    card = registry.get_architecture(name).card
    gan: GAN = card.build(make(card.Config, {"width": 8, "discriminator_norm": "none", **overrides}), spec)
    return gan


@pytest.fixture
def acgan() -> GAN:
    return build("acgan", DataSpec(1, 8, 3))


@pytest.fixture
def infogan() -> GAN:
    return build("infogan", DataSpec(1, 8), categories=4, continuous=2)


def gradient(value: Tensor, gan: GAN) -> Tensor:
    (found,) = torch.autograd.grad(value, gan.discriminator.reader.bias)  # type: ignore[union-attr, arg-type]
    return found


def test_acgan_learns_classes_from_reals_and_the_generator_is_told_of_its_own(acgan: GAN) -> None:
    real, fake, labels = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    learnt = gradient(acgan.discriminator_loss(real, fake, labels)[0], acgan)
    assert torch.equal(gradient(acgan.discriminator_loss(real, -fake, labels)[0], acgan), learnt)
    assert not torch.equal(gradient(acgan.discriminator_loss(-real, fake, labels)[0], acgan), learnt)
    told, signals = acgan.generator_loss(real, fake, labels)
    assert torch.equal(gradient(acgan.generator_loss(-real, fake, labels)[0], acgan), gradient(told, acgan))
    assert 0 <= signals["class_accuracy"] <= 1


def test_acgan_without_its_classifier_plays_the_plain_game(acgan: GAN) -> None:
    real, fake, labels = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    plain = build("acgan", DataSpec(1, 8, 3), class_weight=0)
    logits = plain.discriminator(fake)
    torch.testing.assert_close(
        plain.generator_loss(real, fake, labels)[0], torch.nn.functional.softplus(-logits).mean()
    )


def test_infogan_draws_its_codes_and_takes_the_category_from_a_label(infogan: GAN) -> None:
    codes = infogan.condition(None, 4000, torch.Generator().manual_seed(0))
    assert codes is not None
    assert codes.shape == (4000, 6)
    assert (codes[:, :4].sum(dim=1) == 1).all()
    assert (codes[:, :4].mean(dim=0) - 0.25).abs().max() < 0.03
    numbers = codes[:, 4:]
    assert numbers.abs().max() <= 1
    assert numbers.mean().abs() < 0.03
    assert (numbers.var() - 1 / 3).abs() < 0.02
    chosen = infogan.condition(torch.tensor([3, 0]), 2)
    assert chosen is not None
    assert chosen[:, :4].argmax(dim=1).tolist() == [3, 0]


def test_infogan_learns_codes_from_fakes_alone(infogan: GAN) -> None:
    real, fake, codes = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8), infogan.condition(None, 6)
    learnt = gradient(infogan.discriminator_loss(real, fake, codes)[0], infogan)
    assert torch.equal(gradient(infogan.discriminator_loss(-real, fake, codes)[0], infogan), learnt)
    assert not torch.equal(gradient(infogan.discriminator_loss(real, -fake, codes)[0], infogan), learnt)


def test_infogan_reads_perfectly_what_is_written_plainly(infogan: GAN) -> None:
    codes = torch.tensor([[1, 0, 0, 0, 0.5, -1], [0, 0, 1, 0, 0.0, 1]])
    read = codes * torch.tensor([50.0] * 4 + [1.0] * 2)
    value, signals = infogan.auxiliary_loss(read, codes)  # type: ignore[operator]
    assert value < 1e-6
    assert (signals["code_accuracy"], signals["code_error"]) == (1, 0)
    wrong, _ = infogan.auxiliary_loss(read + torch.tensor([0.0] * 4 + [2.0] * 2), codes)  # type: ignore[operator]
    torch.testing.assert_close(wrong, torch.tensor(0.1 * 0.5 * 2 * 4.0), atol=1e-5, rtol=0)


def test_infogan_samples_by_code_from_the_command_line(ganzoo_cli: Any, tmp_path: Any) -> None:
    run = ganzoo.train("infogan", dataset="digits", steps=2, batch_size=16, width=8, categories=12, out=tmp_path / "r")
    out = tmp_path / "eleven.npz"
    assert ganzoo_cli("sample", run.path, "--label", 11, "--count", 3, "--seed", 0, "--out", out).code == 0
    refused = ganzoo_cli("sample", run.path, "--label", 12, "--out", tmp_path / "x.png")
    assert (refused.code, "'12' is no class of this GAN" in refused.err) == (2, True)
    assert ganzoo_cli("sample", run.path, "--count", 24, "--out", tmp_path / "all").code == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(map(str, range(12)))
    gan = ganzoo.load(run.path)
    assert torch.equal(gan.sample(3, labels=[11] * 3, seed=0), torch.from_numpy(np.load(out)["images"]))
