"""Packing: the discriminator judges several examples at once (Lin et al. 2018, arXiv:1712.04086)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import ganzoo
from ganzoo import latents
from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN, build
from ganzoo.gan.packing import Packed, joined, separated

SMALL: dict[str, Any] = {"generator_widths": (8,), "discriminator_widths": (8,), "dropout": 0.0, "latent_dim": 4}


def gan_of(name: str, spec: DataSpec, **settings: Any) -> GAN:
    entry = registry.get_architecture(name)
    return build(entry, make(entry.card.Config, settings), spec)


def test_examples_in_a_row_are_joined_along_their_channels() -> None:
    images = torch.arange(4 * 3 * 2 * 2).view(4, 3, 2, 2)
    packs = joined(images, 2)
    assert packs.shape == (2, 6, 2, 2)
    assert torch.equal(packs[1, 3:], images[3])
    assert torch.equal(separated(packs, 2), images)


def test_the_discriminator_has_the_channels_of_all_and_one_logit_per_pack() -> None:
    gan = gan_of("dcgan", DataSpec(3, 16), pack=4, width=4)
    assert isinstance(gan.discriminator, Packed)
    first = next(m for m in gan.discriminator.modules() if isinstance(m, nn.Conv2d))
    assert first.in_channels == 12
    assert gan.discriminator(torch.zeros(8, 3, 16, 16)).shape == (2,)
    assert gan.generate(gan.latent(3)).shape == (3, 3, 16, 16)


def test_a_penalty_is_on_the_gradient_of_a_whole_pack() -> None:
    gan = gan_of("wgan", DataSpec(1, 16), penalty="gradient", pack=2, width=4)

    def slope_two(images: Tensor, condition: None) -> Tensor:  # of each value of a pack
        return 2 * joined(images, 2).flatten(1).sum(1)

    gan.discriminator.forward = slope_two  # type: ignore[method-assign]
    gan.step_context = SimpleNamespace(step=0, rng=None)  # type: ignore[assignment]
    _, logs = gan.penalty(torch.zeros(4, 1, 16, 16), torch.ones(4, 1, 16, 16), None, None)
    expected = (2 * (2 * 16 * 16) ** 0.5 - 1) ** 2
    assert float(logs["penalty"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("cgan", DataSpec(1, 16, 10), "its own label"),
        ("pix2pix", DataSpec(1, 16, inputs=1), "its own input"),
        ("infogan", DataSpec(1, 16), "see each by itself"),
        ("fastgan", DataSpec(1, 16), "see each by itself"),
    ],
)
def test_it_is_refused_where_examples_cannot_be_judged_together(name: str, spec: DataSpec, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        gan_of(name, spec, pack=2)


@pytest.mark.parametrize(("settings", "multiple"), [({"batch_size": 30}, 4), ({"batch_size": 36, "accumulate": 2}, 8)])
def test_the_batch_must_consist_of_packs(settings: dict[str, int], multiple: int) -> None:
    with pytest.raises(UsageError, match=f"multiple of {multiple}"):
        make(registry.get_architecture("vanilla").card.Config, {"pack": 4, **settings})


def test_a_run_resumes_exactly_and_scores_of_single_samples_are_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"dataset": "ring", "settings": {**SMALL, "pack": 2, "batch_size": 8}}
    whole = ganzoo.train("vanilla", out=tmp_path / "whole", steps=6, **options)
    parts = ganzoo.train("vanilla", out=tmp_path / "parts", steps=3, **options)
    ganzoo.train(resume=parts.path, steps=6)
    one, other = (load_file(run.path / "checkpoints" / "step-00000006" / "model.safetensors") for run in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    gan = ganzoo.load(whole.path)
    with pytest.raises(UsageError, match="several samples at once"):
        latents.best(gan, latents.own_score(gan), 4, None, 0)
    assert "optimal_discriminator" not in ganzoo.evaluate(whole, samples=1000).findings
