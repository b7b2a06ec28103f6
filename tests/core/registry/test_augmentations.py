"""Augmentations of other packages: applied to all that D sees, adapted, resumed, and broken in isolation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import ganzoo
from ganzoo.augmentations import get_augmentation, normal, uniform
from ganzoo.core.errors import UsageError
from tests.conftest import Command, Site
from tests.ranks import together
from tests.runs import assert_same, last_state

CODE = """
    import torch
    from ganzoo.augmentations import Augmentation, uniform

    def mirror(images, rng):
        return torch.where(uniform(images, 1, 1, 1, rng=rng) < 0.5, images.flip(3), images)

    class Adaptive(Augmentation):
        def __init__(self):
            super().__init__()
            self.register_buffer("p", torch.zeros(()))

        def forward(self, images, rng):
            return torch.where(uniform(images, 1, 1, 1, rng=rng) < self.p, images.flip(2), images)

        def adapt(self, overfitting, images):
            self.p.add_(torch.sign(overfitting - 0.6) * images / 100).clamp_(0, 1)

    class Eager(Adaptive):
        def adapt(self, overfitting, images):
            self.p.add_(images / 100).clamp_(0, 1)

    class Unfinished(Augmentation): ...
"""
FAST = {"dataset": "digits", "batch_size": 8, "generator_widths": (8,), "discriminator_widths": (8,)}


@pytest.fixture
def extra(site: Site, install: Callable[[Site], None]) -> Site:
    names = {"mirror": "mirror", "adaptive": "Adaptive", "eager": "Eager", "unfinished": "Unfinished"}
    site.add("ganzoo-extra", CODE, augmentations=names)
    site.add("stuck", 'raise RuntimeError("stuck")', augmentations={"stuck": "X"})
    install(site)
    return site


@pytest.mark.parametrize("architecture", ["vanilla", "acgan", "r3gan"])
def test_it_is_applied_to_every_image_that_the_discriminator_sees(
    architecture: str, extra: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganzoo.training.loop import train_step
    from tests.sessions import new_state, session

    prepared = session(architecture, "digits", {"augmentation": "mirror", "batch_size": 8})
    state = new_state(prepared)
    seen: list[int] = []

    def blank(images: Tensor, rng: torch.Generator) -> Tensor:
        seen.append(len(images))
        return images * 0

    state.gan.augmentation = blank
    blanks: list[bool] = []
    first = next(module for module in state.gan.discriminator.modules() if isinstance(module, (nn.Conv2d, nn.Linear)))
    first.register_forward_pre_hook(lambda module, inputs: blanks.append(not inputs[0].any()))
    train_step(state, prepared.make_batches())
    assert sum(seen) >= 3 * 8  # real, generated, and generated again for the generator
    assert blanks
    assert all(blanks)


def test_one_with_state_is_saved_with_the_weights_and_resumes_exactly(extra: Site, tmp_path: Path) -> None:
    whole = ganzoo.train("vanilla", steps=6, augmentation="adaptive", out=tmp_path / "whole", **FAST)
    parts = ganzoo.train("vanilla", steps=3, augmentation="adaptive", out=tmp_path / "parts", **FAST)
    ganzoo.train(resume=parts.path, steps=6)
    assert_same(last_state(whole.path), last_state(parts.path))
    assert whole.config["plugins"] == {"augmentation": "ganzoo-extra"}
    assert ganzoo.load(whole.path).sample(2).shape == (2, 1, 8, 8)
    eager = ganzoo.train("vanilla", steps=3, augmentation="eager", out=tmp_path / "eager", **FAST)
    weights = load_file(eager.path / "checkpoints" / "step-00000003" / "model.safetensors")
    assert weights["augmentation.p"] == pytest.approx(0.24)


def test_every_training_starts_from_the_initial_state(extra: Site) -> None:
    first = get_augmentation("eager")
    first.adapt(torch.zeros(()), 8)  # type: ignore[union-attr]
    assert get_augmentation("eager").p == 0  # type: ignore[union-attr]
    assert get_augmentation("none") is None


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("mirrors", 2, "no augmentation is called 'mirrors'. Did you mean mirror?"),
        ("stuck", 1, "The augmentation 'stuck' from stuck 1.0 cannot be used: RuntimeError: stuck"),
        ("unfinished", 1, "it does not implement forward"),
    ],
)
def test_one_that_cannot_be_used_is_refused_before_anything_is_written(
    name: str, code: int, reason: str, extra: Site, ganzoo_cli: Command, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = ganzoo_cli("train", "vanilla", "--dataset", "digits", "--set", f"augmentation={name}", "--out", out)
    assert (result.code, reason in result.err) == (code, True), result.err
    assert not out.exists()


def test_points_have_no_augmentation(extra: Site, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="augmentation=mirror is for images, and these data are points"):
        ganzoo.train("vanilla", dataset="ring", steps=1, augmentation="mirror", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_it_is_listed_and_offered(extra: Site, ganzoo_cli: Command) -> None:
    assert "augmentation  mirror" in ganzoo_cli("list", "--all").out
    shown = re.search(r"^augmentation .*one of none, (.*?) +augmentation", ganzoo_cli("info", "vanilla").out, re.M)
    assert shown is not None
    assert {"adaptive", "eager", "mirror", "stuck", "unfinished", "flip"} <= set(shown[1].split(", "))


def draw(folder: Path) -> None:
    from ganzoo.core import distributed

    images, rng = torch.zeros(4 // distributed.size(), 1, 2, 2), torch.Generator().manual_seed(0)
    drawn = torch.cat([uniform(images, 1, 2, rng=rng).flatten(1), normal(images, 3, rng=rng)], dim=1)
    torch.save(drawn, folder / f"{distributed.size()}-{distributed.rank()}")


def test_ranks_draw_what_one_process_draws(tmp_path: Path) -> None:
    for ranks in (1, 2):
        assert together(ranks, draw, tmp_path, folder=tmp_path) == [0] * ranks
    one, two = (torch.cat([torch.load(file) for file in sorted(tmp_path.glob(f"{n}-*"))]) for n in (1, 2))
    assert torch.equal(one, two)
