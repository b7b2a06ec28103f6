"""The built-in architectures match their papers; tests/test_conformance.py checks the rules for all architectures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from ganzoo.core import registry
from ganzoo.core.config import make, settings
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.nn import ConvTransposeBNReLU, uses_batch_statistics

CARDS = {entry.name: entry.card for entry in registry.architectures() if entry.error is None}
SMALL = {
    "width": 8,
    "generator_widths": (16, 12),
    "discriminator_widths": (16, 12),
    "embedding": 4,
    "latent_dim": 6,
}
SIBLINGS = ("dragan", "r3gan-cond", "ragan", "sagan", "sngan", "stylegan2-cond", "wavegan-cond", "wgan-gp")
"""Architectures whose networks are those of others; checks that take seconds run for these in the long suite alone."""
CONVOLUTIONAL = ["acgan", "cgan", "dcgan", "infogan", "lsgan", "r3gan", "wgan"]


def build(name: str, spec: DataSpec, seed: int = 0, **overrides: Any) -> GAN:
    """A small GAN of this architecture."""
    card = CARDS[name]
    known = {s.name for s in settings(card.Config)}
    small = {key: value for key, value in SMALL.items() if key in known}
    torch.manual_seed(seed)
    gan: GAN = card.build(make(card.Config, small | overrides), spec_for(name, spec))
    return gan


def standard(name: str, spec: DataSpec, **overrides: Any) -> GAN:
    """A GAN with the architecture's default settings."""
    torch.manual_seed(0)
    gan: GAN = CARDS[name].build(make(CARDS[name].Config, overrides), spec_for(name, spec))
    return gan


def spec_for(name: str, spec: DataSpec) -> DataSpec:
    """The spec that training passes: without the classes and inputs that the architecture does not use."""
    card = CARDS[name]
    return replace(spec, classes=spec.classes if card.conditional else 0, inputs=spec.channels if card.paired else 0)


def layers(network: nn.Module, *kinds: type[nn.Module]) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, kinds)]


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize(
    ("size", "nearest"), [(29, "28 or 32"), (1, "8 or 10"), (7, "8 or 10"), (36, "32 or 40"), (100, "96 or 112")]
)
def test_a_size_that_cannot_be_reached_names_the_nearest(name: str, size: int, nearest: str) -> None:
    with pytest.raises(UsageError, match=rf"Image size {size} cannot .* Set image_size={nearest} instead"):
        build(name, DataSpec(1, size, 10))


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize("size", [10, 12, 14, 20, 24, 40, 48, 56, 80, 96, 112, 256])
def test_sizes_that_an_error_may_name_are_possible(name: str, size: int) -> None:
    with torch.device("meta"):
        gan = build(name, DataSpec(3, size, 10))
        condition = gan.condition(torch.zeros(2, dtype=torch.int64) if gan.conditional else None, 2)
        images = gan.generate(torch.zeros(2, 6), condition)
        assert images.shape == (2, 3, size, size)
        assert gan.discriminator(images, condition).shape == (2,)


@pytest.mark.parametrize("size", [1, 7, 29])
def test_multilayer_perceptrons_do_any_size(size: int) -> None:
    assert build("vanilla", DataSpec(2, size)).sample(2).shape == (2, 2, size, size)


def test_vanilla_can_be_the_classic_network() -> None:
    gan = standard("vanilla", DataSpec(1, 28), generator_widths="128,128", discriminator_widths="128,128")
    for network, widths in ((gan.generator, (100, 128, 128, 784)), (gan.discriminator, (784, 128, 128, 1))):
        shapes = [(layer.in_features, layer.out_features) for layer in layers(network, nn.Linear)]
        assert shapes == list(zip(widths, widths[1:]))


def test_vanilla_trains_as_in_the_paper() -> None:
    gan = standard("vanilla", DataSpec(1, 8))
    assert (gan.config.loss, gan.config.penalty) == ("nonsaturating", "none")
    real, fake = torch.rand(4, 1, 8, 8), -torch.rand(4, 1, 8, 8)
    gan.eval()  # without dropout
    probability = gan.discriminator(fake).sigmoid()
    torch.testing.assert_close(gan.generator_loss(real, fake)[0], -probability.log().mean())
    minimax = standard("vanilla", DataSpec(1, 8), loss="minimax").eval()
    torch.testing.assert_close(minimax.generator_loss(real, fake)[0], (1 - probability).log().mean())


def test_dcgan_64_is_the_network_of_the_paper() -> None:
    gan = standard("dcgan", DataSpec(3, 64))
    up = [tuple(layer.weight.shape) for layer in layers(gan.generator, nn.ConvTranspose2d)]
    assert up == [(100, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]
    assert all(layer.bias is None for layer in layers(gan.generator, nn.ConvTranspose2d))
    maps, shapes = gan.latent(2)[:, :, None, None], []
    for layer in gan.generator.blocks:
        maps = layer(maps)
        shapes.append(tuple(maps.shape[1:]))
    assert shapes == [(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32), (3, 64, 64)]
    assert len(layers(gan.generator, ConvTransposeBNReLU)) == 4

    down = [tuple(layer.weight.shape) for layer in layers(gan.discriminator, nn.Conv2d)]
    assert down == [(64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4)]
    assert [norm.num_features for norm in layers(gan.discriminator, nn.BatchNorm2d)] == [128, 256, 512]
    assert {layer.negative_slope for layer in layers(gan.discriminator, nn.LeakyReLU)} == {0.2}


def test_dcgan_starts_from_the_weights_of_the_paper() -> None:
    gan = standard("dcgan", DataSpec(3, 64))
    for layer in layers(gan, nn.Conv2d, nn.ConvTranspose2d):
        error = 0.02 / layer.weight.numel() ** 0.5
        assert abs(layer.weight.mean()) < 5 * error
        assert abs(layer.weight.std() - 0.02) < 5 * error
        assert layer.bias is None or (layer.bias == 0).all()
    scales = torch.cat([norm.weight for norm in layers(gan, nn.BatchNorm2d)])
    assert abs(scales.mean() - 1) < 0.003
    assert abs(scales.std() - 0.02) < 0.002
    assert all((norm.bias == 0).all() for norm in layers(gan, nn.BatchNorm2d))


def test_dcgan_trains_as_in_the_paper() -> None:
    gan = standard("dcgan", DataSpec(1, 28))
    assert (gan.config.batch_size, gan.config.real_label, gan.config.latent_dim) == (128, 0.9, 100)
    assert gan.config.discriminator_steps == 1
    for optimizer in gan.optimizers():
        (group,) = optimizer.param_groups
        assert isinstance(optimizer, torch.optim.Adam)
        assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))


@pytest.mark.parametrize(
    ("size", "widths"), [(8, [64]), (28, [128, 64]), (32, [256, 128, 64]), (128, [1024, 512, 256, 128, 64])]
)
def test_stages_follow_the_image_size(size: int, widths: list[int]) -> None:
    with torch.device("meta"):
        gan = standard("dcgan", DataSpec(1, size))
    assert [norm.num_features for norm in layers(gan.generator, nn.BatchNorm2d)] == widths


@pytest.mark.parametrize(("size", "hidden"), [(8, 0), (28, 1), (40, 1), (64, 0)])
def test_a_fully_connected_layer_follows_feature_maps_larger_than_4x4(size: int, hidden: int) -> None:
    for norm in ("batch", "none"):
        gan = build("dcgan", DataSpec(1, size), discriminator_norm=norm)
        assert len(layers(gan.discriminator, nn.Linear)) == hidden
        assert len(layers(gan.discriminator, nn.BatchNorm1d)) == (hidden if norm == "batch" else 0)
        assert uses_batch_statistics(gan.discriminator) == (norm == "batch" and size > 8)


def test_wgan_is_that_of_the_paper() -> None:
    gan = standard("wgan", DataSpec(1, 28))
    config = gan.config
    assert (config.loss, config.penalty, config.clip, config.discriminator_steps) == ("wasserstein", "clip", 0.01, 5)
    for optimizer in gan.optimizers():
        assert isinstance(optimizer, torch.optim.RMSprop)
        assert optimizer.param_groups[0]["lr"] == 5e-5
    for layer in layers(gan.generator, nn.ConvTranspose2d):
        assert layer.weight.std().item() == pytest.approx(0.005, rel=0.1)
    assert uses_batch_statistics(gan.discriminator)
    assert max(p.abs().max().item() for p in gan.discriminator.parameters()) > 0.01
    gan.after_discriminator_step()
    assert max(p.abs().max().item() for p in gan.discriminator.parameters()) == pytest.approx(0.01)
    assert not layers(gan.discriminator, nn.Sigmoid)


def test_wgan_with_a_gradient_penalty_is_wgan_gp() -> None:
    gan = standard("wgan", DataSpec(1, 28), penalty="gradient")
    assert (gan.config.loss, gan.config.penalty_weight, gan.config.discriminator_steps) == ("wasserstein", 10.0, 5)
    for optimizer in gan.optimizers():
        (group,) = optimizer.param_groups
        assert isinstance(optimizer, torch.optim.Adam)
        assert (group["lr"], group["betas"]) == (1e-4, (0.0, 0.9))
    assert not uses_batch_statistics(gan.discriminator)
    before = [p.clone() for p in gan.discriminator.parameters()]
    gan.after_discriminator_step()
    assert all(torch.equal(p, old) for p, old in zip(gan.discriminator.parameters(), before))


@pytest.mark.parametrize("penalty", ["gradient", "r1", "r1r2"])
@pytest.mark.parametrize("name", ["dcgan", "wgan"])
def test_penalties_with_batch_norm_in_the_discriminator_are_refused(name: str, penalty: str) -> None:
    assert not uses_batch_statistics(build(name, DataSpec(1, 16), penalty=penalty).discriminator)
    with pytest.raises(UsageError, match=rf"penalty={penalty} with batch norm .* Choose discriminator_norm=none"):
        build(name, DataSpec(1, 16), penalty=penalty, discriminator_norm="batch")
