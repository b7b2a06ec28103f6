"""Images that are not square, with every architecture of images that can be built for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo.core import config as configs
from ganzoo.core import registry
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec, Field
from ganzoo.nn.dcgan import stages, stages_of
from tests.conftest import Command

ARCHITECTURES = (
    "dcgan", "cgan", "wgan", "lsgan", "acgan", "infogan", "wgan-gp", "dragan", "ragan", "r3gan", "sngan", "projection",
    "sagan", "biggan", "ebgan", "began",
)  # fmt: skip


def photos(folder: Path, height: int, width: int, count: int = 24) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def images(*shape: int) -> DataSpec:
    return DataSpec(target=Field("images", shape))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_have_the_shape_of_the_images(name: str) -> None:
    card = registry.find_architecture(name).card
    config = configs.make(card.Config, card.check_settings, "images")
    spec = DataSpec(classes=3 if card.conditional else 0, target=Field("images", (3, 12, 8)))
    gan = card.build(config, spec)
    condition = gan.condition(torch.tensor([0, 2]) if card.conditional else None, 2)
    made = gan.generator(gan.latent(2), condition)
    assert made.shape == (2, 3, 12, 8)
    assert gan.discriminator(made, condition).shape == (2,)


def test_the_shorter_side_of_the_base_is_4_to_7() -> None:
    assert stages_of(images(1, 48, 64)) == ((6, 8), 3)
    assert stages_of(images(1, 128, 32)) == ((16, 4), 3)
    assert stages_of(images(1, 64, 64)) == ((4, 4), stages(64)[1])


@pytest.mark.parametrize(
    ("size", "nearest"),
    [((50, 70), "48x72 or 56x72"), ((48, 65), "48x64 or 48x72"), ((5, 9), "8x8"), ((3000, 4000), "1792x1792")],
)
def test_other_sizes_are_refused_with_the_nearest(size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(UsageError, match=f"Choose {nearest} instead.*folder:size={nearest.split()[0]}:PATH"):
        stages_of(images(3, *size))
    for chosen in nearest.split(" or "):
        stages_of(images(3, *map(int, chosen.split("x"))))


def test_trains_samples_and_evaluates(tmp_path: Path, ganzoo_cli: Command) -> None:
    data = f"folder:{photos(tmp_path / 'photos', 16, 24)}"
    run = ganzoo.train("dcgan", dataset=data, steps=2, width=4, batch_size=8, out=tmp_path / "run")
    done = ganzoo_cli("sample", run.path, "--count", 4, "--seed", 0, "--out", tmp_path / "grid.png")
    assert (done.code, Image.open(tmp_path / "grid.png").size) == (0, (4 * 26 + 2, 18 + 2)), done.err
    done = ganzoo_cli("evaluate", run.path, "--metrics", "swd,ms_ssim", "--samples", 16)
    assert done.code == 0, done.err


def test_a_size_that_cannot_be_reached_makes_no_run(tmp_path: Path, ganzoo_cli: Command) -> None:
    data = f"folder:{photos(tmp_path / 'photos', 18, 26)}"
    refused = ganzoo_cli("train", "dcgan", "--dataset", data, "--out", tmp_path / "run")
    assert (refused.code, "Choose 16x24 or 20x28 instead" in " ".join(refused.err.split())) == (2, True), refused.err
    assert not (tmp_path / "run").exists()
