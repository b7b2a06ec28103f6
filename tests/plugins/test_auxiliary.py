"""ACGAN and InfoGAN: the loss of the auxiliary head, and the images it is computed on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ganzoo
from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.errors import UsageError
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


def head_gradient(value: Tensor, gan: GAN) -> Tensor:
    (gradient,) = torch.autograd.grad(value, gan.discriminator.reader.bias)  # type: ignore[union-attr, arg-type]
    return gradient


def test_acgan_discriminator_learns_classes_from_real_images_and_generator_from_its_own(acgan: GAN) -> None:
    real, fake, labels = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    expected = head_gradient(acgan.discriminator_loss(real, fake, labels)[0], acgan)
    assert torch.equal(head_gradient(acgan.discriminator_loss(real, -fake, labels)[0], acgan), expected)
    assert not torch.equal(head_gradient(acgan.discriminator_loss(-real, fake, labels)[0], acgan), expected)
    loss, logs = acgan.generator_loss(real, fake, labels)
    by_generator = head_gradient(loss, acgan)
    assert torch.equal(head_gradient(acgan.generator_loss(-real, fake, labels)[0], acgan), by_generator)
    assert not torch.equal(head_gradient(acgan.generator_loss(real, -fake, labels)[0], acgan), by_generator)
    predictions = acgan.discriminator.predict(fake)[1].argmax(dim=1)  # type: ignore[operator]
    assert logs["class_accuracy"] == (predictions == labels).float().mean()


def test_acgan_without_class_weight_has_the_plain_loss() -> None:
    real, fake, labels = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    plain = build("acgan", DataSpec(1, 8, 3), class_weight=0)
    logits = plain.discriminator(fake)
    torch.testing.assert_close(
        plain.generator_loss(real, fake, labels)[0], torch.nn.functional.softplus(-logits).mean()
    )


def test_the_generators_class_weight_is_a_multiple_of_the_discriminators() -> None:
    real, fake, labels = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    losses = {}
    for weight in (0.0, 1.0, 0.25):
        gan = build("acgan", DataSpec(1, 8, 3), class_weight=2, generator_class_weight=weight)
        losses[weight] = [loss(real, fake, labels)[0].detach() for loss in (gan.discriminator_loss, gan.generator_loss)]
    (discriminator, without), (same, usual), (_, quarter) = losses.values()
    assert torch.equal(discriminator, same)
    assert usual - without > 1
    torch.testing.assert_close(quarter - without, (usual - without) / 4)


def test_a_class_weight_without_effect_is_refused() -> None:
    with pytest.raises(UsageError, match=r"generator_class_weight=0\.5 with class_weight=0: it has no effect"):
        build("acgan", DataSpec(1, 8, 3), class_weight=0, generator_class_weight=0.5)


def test_the_penalty_is_added_to_the_loss_of_the_discriminator() -> None:
    real, fake, labels = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    losses = {}
    for weight in (0.0, 5.0):
        gan = build("acgan", DataSpec(1, 8, 3), penalty="r1", penalty_weight=weight)
        losses[weight], logs = gan.discriminator_loss(real, fake, labels)
    torch.testing.assert_close(losses[5.0] - losses[0.0], 5 * logs["penalty"])
    assert logs["penalty"] > 0


def test_a_relativistic_loss_compares_real_and_generated_images() -> None:
    real, fake, labels = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    gan = build("acgan", DataSpec(1, 8, 3), class_weight=0, loss="relativistic")
    difference = gan.discriminator(fake) - gan.discriminator(real)
    torch.testing.assert_close(
        gan.generator_loss(real, fake, labels)[0], torch.nn.functional.softplus(-difference).mean()
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


def test_infogan_learns_codes_from_generated_images_only(infogan: GAN) -> None:
    real, fake, codes = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8), infogan.condition(None, 6)
    expected = head_gradient(infogan.discriminator_loss(real, fake, codes)[0], infogan)
    assert torch.equal(head_gradient(infogan.discriminator_loss(-real, fake, codes)[0], infogan), expected)
    assert not torch.equal(head_gradient(infogan.discriminator_loss(real, -fake, codes)[0], infogan), expected)


def test_infogan_has_no_loss_for_perfect_predictions(infogan: GAN) -> None:
    codes = torch.tensor([[1, 0, 0, 0, 0.5, -1], [0, 0, 1, 0, 0.0, 1]])
    prediction = codes * torch.tensor([50.0] * 4 + [1.0] * 2)
    value, logs = infogan.auxiliary_loss(prediction, codes)  # type: ignore[operator]
    assert value < 1e-6
    assert (logs["code_accuracy"], logs["code_error"]) == (1, 0)
    wrong, _ = infogan.auxiliary_loss(prediction + torch.tensor([0.0] * 4 + [2.0] * 2), codes)  # type: ignore[operator]
    torch.testing.assert_close(wrong, torch.tensor(0.1 * 0.5 * 2 * 4.0), atol=1e-5, rtol=0)


def test_infogan_samples_by_code_from_the_command_line(ganzoo_cli: Any, tmp_path: Any) -> None:
    run = ganzoo.train("infogan", dataset="digits", steps=2, batch_size=16, width=8, categories=12, out=tmp_path / "r")
    out = tmp_path / "eleven.npz"
    assert ganzoo_cli("sample", run.path, "--label", 11, "--count", 3, "--seed", 0, "--out", out).code == 0
    result = ganzoo_cli("sample", run.path, "--label", 12, "--out", tmp_path / "x.png")
    assert (result.code, "'12' is not a class of this GAN" in result.err) == (2, True)
    assert ganzoo_cli("sample", run.path, "--count", 24, "--out", tmp_path / "all").code == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(map(str, range(12)))
    gan = ganzoo.load(run.path)
    assert torch.equal(gan.sample(3, labels=[11] * 3, seed=0), torch.from_numpy(np.load(out)["images"]))
