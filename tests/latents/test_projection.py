from __future__ import annotations

import pytest
import torch

from ganzoo import latents
from ganzoo.data.normalization import encode
from ganzoo.errors import UsageError
from tests.latents.conftest import NAMES, Build

QUICK = {"starts": 3, "steps": 30, "candidates": 50}


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_the_gan_itself_is_found(name: str, build: Build) -> None:
    gan = build(name)
    target = gan.sample(1, [0] if gan.conditional else None, seed=99)[0]
    found = latents.project(gan, target, **QUICK)
    assert found.psnr == latents.psnr(found.image, target)
    assert found.psnr >= found.random_psnr + (3 if gan.spec.size else 0)
    assert found.starts[0] == max(found.starts)
    assert (
        torch.equal(latents.render(gan, found.latents)[0], found.image)
        or latents.psnr(latents.render(gan, found.latents)[0], found.image) > 45
    )  # rounding in another batch
    assert 0.3 < found.length < 3
    assert all(parameter.requires_grad and parameter.grad is None for parameter in gan.parameters())


def test_features_and_seeds(build: Build) -> None:
    gan = build("cgan")
    target = gan.sample(1, [4], seed=99)[0]
    features = latents.discriminator_features(gan)
    steps: list[int] = []
    first = latents.project(gan, target, 4, features, **QUICK, progress=steps.append)
    assert steps == list(range(31))
    assert first.distance is not None
    assert 0 <= first.distance < 1
    assert first.latents.condition is not None
    assert int(first.latents.condition.argmax()) == 4
    assert first.way.shape == (31, *gan.spec.shape)
    assert torch.equal(latents.project(gan, target, 4, features, **QUICK).image, first.image)
    points = latents.of_seeds(gan, [1, 2])
    images = encode(gan.sample(2, seed=1), gan.spec)
    assert torch.equal(features(images, points)[0], features(images, points)[0])
    assert features(images, points).shape[0] == 2


def test_a_discriminator_that_judges_packs_has_no_features_of_one_image(build: Build) -> None:
    gan = build("vanilla", pack=2)
    with pytest.raises(UsageError, match="--features none"):
        latents.discriminator_features(gan)
    assert latents.project(gan, gan.sample(1, seed=99)[0], **QUICK).distance is None


def test_no_steps_give_the_best_random_sample(build: Build) -> None:
    gan = build("vanilla")
    target = gan.sample(1, seed=99)[0]
    found = latents.project(gan, target, starts=2, steps=0, candidates=50)
    assert torch.equal(found.image, found.random)
    assert len(found.way) == 1


def test_psnr() -> None:
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    assert latents.psnr(image, image) == float("inf")
    assert latents.psnr(image, image + 255) == pytest.approx(0)
    assert latents.psnr(image, image + 10) == pytest.approx(28.13, abs=0.01)


def test_images_of_another_shape_are_refused(build: Build) -> None:
    with pytest.raises(UsageError, match=r"needs uint8 \[1, 8, 8\], but got uint8 \[3, 8, 8\]"):
        latents.project(build("vanilla"), torch.zeros(3, 8, 8, dtype=torch.uint8))
