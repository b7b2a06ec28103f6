from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganzoo import latents
from ganzoo.core import registry
from ganzoo.errors import UsageError
from ganzoo.gan import GAN
from ganzoo.testing.fixtures import ArchitectureFixture
from tests.latents.conftest import NAMES, Build


@pytest.mark.parametrize("name", NAMES)
def test_points_are_those_of_samples(name: str, build: Build) -> None:
    gan = build(name)
    assert torch.equal(latents.render(gan, latents.sample(gan, 12, seed=5)), gan.sample(12, seed=5))
    points = latents.of_seeds(gan, [3, 4])
    for i, seed in enumerate((3, 4)):
        expected = gan.sample(1, [i] if gan.conditional else None, seed)
        assert torch.equal(latents.render(gan, points[i : i + 1]), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_walk_is_continuous_closed_and_passes_through_its_points(name: str, build: Build) -> None:
    gan = build(name)
    points = latents.of_seeds(gan, [1, 7, 9])
    steps = latents.walk(points, 300)
    images = latents.render(gan, steps).float()
    at_points = latents.render(gan, points).float()
    assert (images[::100] - at_points).abs().max() <= 1  # a byte: other batches round differently
    jumps = (images - images.roll(-1, 0)).flatten(1).norm(dim=1)
    apart = (at_points - at_points.roll(-1, 0)).flatten(1).norm(dim=1)
    assert jumps.max() < apart.max() / 4


def test_a_strangers_generator_with_an_odd_shape_of_noise(build: Build) -> None:
    class Odd(GAN):
        def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
            return torch.rand(n, 2, 3, generator=rng)

        def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
            return (z.sum(2) @ self.generator.weight).unflatten(1, self.spec.shape).tanh()

    usual = build("vanilla")
    gan = Odd(nn.Linear(64, 2, bias=False), usual.discriminator, usual.config, usual.spec)
    assert latents.render(gan, latents.walk(latents.of_seeds(gan, [0, 1]), 8)).shape == (8, 1, 8, 8)
    assert latents.sample(gan, 100, truncation=0.5).z.max() <= 0.5


def test_the_condition_of_a_gan_with_codes_is_its_codes(build: Build) -> None:
    gan = build("infogan")
    points = latents.sample(gan, 4, [3, 3, 5, 5])
    assert points.condition is not None
    assert points.condition[:, :10].argmax(1).tolist() == [3, 3, 5, 5]
    assert points.condition.shape[1] > 10


@pytest.mark.parametrize("name", ["cgan", "acgan"])
def test_mixed_classes_are_means_of_their_embeddings(name: str, build: Build) -> None:
    gan = build(name)
    one = latents.of_seeds(gan, [1, 1], labels=[3, 8])
    half = latents.between(one[:1], one[1:], torch.tensor([0.0, 0.5, 1.0]))
    assert half.condition is not None
    images = latents.render(gan, half)
    assert (images[[0, 2]].float() - latents.render(gan, one).float()).abs().max() <= 1
    table = next(m for m in gan.generator.modules() if isinstance(m, nn.Embedding))
    with torch.no_grad():
        table.weight[0] = (table.weight[3] + table.weight[8]) / 2
    as_class = latents.render(gan, latents.of_seeds(gan, [1], labels=[0]))
    assert (images[1].float() - as_class[0].float()).abs().max() <= 1
    assert not any(m._forward_hooks for m in gan.generator.modules())


def test_classes_without_an_embedding_are_not_mixed_but_can_be_chosen(build: Build) -> None:
    class OneHot(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(110, 64)

        def forward(self, z: Tensor, labels: Tensor) -> Tensor:
            one_hot = nn.functional.one_hot(labels, 10).float()
            return self.layer(torch.cat([z, one_hot], 1)).unflatten(1, (1, 8, 8)).tanh()  # type: ignore[no-any-return]

    usual = build("cgan", latent_dim=100)
    gan = GAN(OneHot(), usual.discriminator, usual.config, usual.spec)
    points = latents.of_seeds(gan, [1, 2], labels=[3, 8])
    assert latents.render(gan, points).shape == (2, 1, 8, 8)
    with pytest.raises(UsageError, match=r"no nn\.Embedding of the labels"):
        latents.render(gan, latents.walk(points, 5))
    assert latents.render(gan, latents.walk(latents.of_seeds(gan, [1, 2], [3, 3]), 5)).shape == (5, 1, 8, 8)


def test_truncated_noise_is_normal_noise_within_the_bound(build: Build) -> None:
    z = latents.sample(build("vanilla"), 4000, truncation=0.7).z
    assert z.abs().max() <= 0.7
    uniform = (torch.special.ndtr(z.flatten()) - 0.2420) / (1 - 2 * 0.2420)  # the distribution function of the rest
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert abs(float(uniform.std()) - 12**-0.5) < 0.01


def test_noise_within_the_bound_stays(build: Build) -> None:
    gan = build("vanilla")
    free, bounded = (latents.sample(gan, 50, seed=2, truncation=bound).z for bound in (None, 1.0))
    assert torch.equal(free[free.abs() <= 1], bounded[free.abs() <= 1])


def test_what_does_not_fit_is_refused(build: Build) -> None:
    vanilla, cgan = build("vanilla"), build("cgan")
    with pytest.raises(UsageError, match="not conditional"):
        latents.sample(vanilla, 2, [1, 1])
    with pytest.raises(UsageError, match=r"Labels must lie in 0\.\.9"):
        latents.of_seeds(cgan, [1], [10])
    with pytest.raises(UsageError, match="one per seed, but got 3"):
        latents.of_seeds(cgan, [1], [1, 2, 3])
    with pytest.raises(UsageError, match="At least one seed"):
        latents.of_seeds(cgan, [])
    with pytest.raises(UsageError, match="too small"):
        latents.sample(vanilla, 100, truncation=1e-9)


def test_a_gan_that_translates_images_has_no_latent_space() -> None:
    gan = ArchitectureFixture(registry.get_architecture("pix2pix").card, {}).build()
    with pytest.raises(UsageError, match="no latent space: it generates from input, not from noise"):
        latents.sample(gan, 2)


def test_a_generator_that_ignores_its_noise_has_no_latent_space(build: Build, tmp_path: Path) -> None:
    gan = build("vanilla")
    with torch.no_grad():
        gan.generator.layers[0].weight.zero_()  # type: ignore[operator,index,union-attr]
    with pytest.raises(UsageError, match="its images do not depend on the noise"):
        latents.of_seeds(gan, [1, 2])
