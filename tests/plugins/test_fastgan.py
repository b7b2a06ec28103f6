"""fastgan's networks and losses are those of its paper and of the authors' code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.training import loop
from tests.sessions import new_state, session

CARD = registry.get_architecture("fastgan").card


def build(spec: DataSpec, **settings: Any) -> GAN:
    torch.manual_seed(0)
    gan: GAN = CARD.build(
        make(CARD.Config, {"latent_dim": 8, "augmentation": "none", "spectral_norm": "none", **settings}), spec
    )
    gan.step_context = SimpleNamespace(rng=torch.Generator().manual_seed(0))  # type: ignore[assignment]
    return gan


@pytest.mark.parametrize(("size", "small", "logits"), [(8, 8, 50), (28, 14, 128), (64, 32, 50), (512, 128, 50)])
def test_images_come_in_two_sizes_and_have_logits_of_patches_of_both(size: int, small: int, logits: int) -> None:
    with torch.device("meta"):
        gan = build(DataSpec(3, size))
        images, smaller = gan.generator.both(torch.zeros(2, 8))  # type: ignore[operator]
        assert (images.shape, smaller.shape) == ((2, 3, size, size), (2, 3, small, small))
        assert gan.discriminator(images, None, smaller).shape == (2, logits)
        features = gan.discriminator.features(images)  # type: ignore[operator]
        place = torch.zeros(2, dtype=torch.bool)
        shapes = {image.shape for image in gan.discriminator.reconstruct(features, place).values()}  # type: ignore[operator]
        assert (2, 3, small, small) in shapes
        assert len(shapes) == (2 if size == 8 else 1)


def test_maps_excite_those_four_doublings_further() -> None:
    with torch.device("meta"):
        generator = build(DataSpec(3, 256), width=64).generator
    pairs = [(e.layers[1].in_channels, e.layers[1].out_channels) for e in generator.excitations]  # type: ignore[union-attr]
    assert pairs == [(1024, 128), (512, 64), (256, 32)]
    assert generator.distance == 4


def test_excitation_scales_channels_by_numbers_between_0_and_1() -> None:
    excitation = build(DataSpec(1, 16)).generator.excitations[0]  # type: ignore[index]
    large = torch.rand(2, excitation.layers[1].out_channels, 16, 16)
    small = torch.randn(2, excitation.layers[1].in_channels, 4, 4)
    factors = excitation(small, large) / large
    assert torch.allclose(factors, factors[:, :, :1, :1].expand_as(factors))
    assert 0 < factors.min() < factors.max() < 1


def test_noise_is_drawn_in_training_only() -> None:
    generator = build(DataSpec(1, 16)).generator
    for module in generator.modules():
        if hasattr(module, "strength"):
            nn.init.ones_(module.strength)
    z = torch.randn(2, 8)
    assert not torch.equal(generator(z), generator(z))
    generator.eval()
    assert torch.equal(generator(z), generator(z))


def test_the_discriminator_reconstructs_the_whole_the_small_and_a_quarter() -> None:
    from ganzoo_plugins.fastgan.networks import quarter

    gan = build(DataSpec(1, 16)).eval()
    real = torch.rand(2, 1, 16, 16)
    assert torch.equal(quarter(real, torch.tensor([True, False])), real[:, :, :8, 8:])
    assert torch.equal(quarter(real, torch.tensor([False, True])), real[:, :, 8:, :8])
    assert torch.equal(gan.discriminator.smaller(real), real[:, :, ::2, ::2])  # type: ignore[operator]

    class Echo(nn.Module):
        def forward(self, maps: Any) -> Any:
            return torch.ones(2, 1, 8, 8)

    gan.discriminator.decoders = nn.ModuleDict({name: Echo() for name in ("whole", "small", "quarter")})
    _, logs = gan.learn_real(torch.zeros(2, 1, 16, 16))  # type: ignore[operator]
    assert logs["reconstruction"].item() == 3


def test_the_margin_of_the_hinge_lies_between_0_8_and_1() -> None:
    gan = build(DataSpec(1, 16), reconstruction=0)
    gan.discriminator.judge = lambda features: torch.zeros(1000, 1)  # type: ignore[assignment]
    margins = [gan.learn_real(torch.zeros(1000, 1, 16, 16))[0].item() for _ in range(3)]  # type: ignore[operator]
    assert margins == pytest.approx([0.9] * 3, abs=0.01)
    assert len(set(margins)) == 3
    softened = 1 - gan.softening(torch.zeros(1000, 5))  # type: ignore[operator]
    assert 0.8 <= softened.min() < 0.81 < 0.99 < softened.max() <= 1
    assert softened.std(1).min() > 0  # each logit has its own, as in the authors' code


def test_it_trains_in_microbatches_and_with_more_steps_of_the_discriminator() -> None:
    settings = {"batch_size": 8, "latent_dim": 8, "image_size": 16, "accumulate": 2, "discriminator_steps": 2}
    prepared = session("fastgan", "digits", settings)
    state = new_state(prepared)
    logs = loop.train_step(state, prepared.make_batches())
    assert {"reconstruction", "d_real", "d_fake", "generator_loss"} <= logs.keys()
    assert all(value.isfinite() for value in logs.values())


@pytest.mark.parametrize("width", [3, 5])
def test_any_width_fits_large_images(width: int) -> None:
    entry = registry.get_architecture("fastgan")
    with torch.device("meta"):
        gan = entry.card.build(make(entry.card.Config, {"width": width}), DataSpec(3, 256))
        assert gan.discriminator(torch.empty(2, 3, 256, 256)).shape == (2, 50)
