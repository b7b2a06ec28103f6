"""Train, resume and sample on points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo.core import registry
from ganzoo.core.errors import UsageError
from ganzoo.data import imaging
from ganzoo.training.run import Run
from tests.conftest import Command
from tests.sessions import session

CARDS = {entry.name: entry.card for entry in registry.architectures() if entry.error is None}
FOR_POINTS = [name for name, card in CARDS.items() if "points" in card.kinds]
ONLY_IMAGES = [name for name, card in CARDS.items() if card.kinds == ("images",)]
SHORT = {"steps": 4, "batch_size": 32}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ganzoo.train("vanilla", dataset="ring", out=tmp_path_factory.mktemp("points") / "run", **SHORT)


@pytest.mark.parametrize("name", FOR_POINTS)
def test_trains_on_points_and_resumes_exactly(name: str, tmp_path: Path) -> None:
    at_once = ganzoo.train(name, dataset="grid", out=tmp_path / "at-once", **SHORT)
    in_two = ganzoo.train(name, dataset="grid", out=tmp_path / "in-two", **{**SHORT, "steps": 2})
    ganzoo.train(resume=in_two.path, steps=4)
    first, second = ganzoo.load(at_once.path), ganzoo.load(in_two.path)
    assert torch.equal(first.sample(100, seed=0), second.sample(100, seed=0))
    assert first.spec.shape == (2,)


@pytest.mark.parametrize("name", ONLY_IMAGES)
def test_architectures_for_images_refuse_points_before_loading_data(name: str) -> None:
    able = " or ".join(FOR_POINTS)
    with pytest.raises(UsageError, match=f"{name} is for images, but ring has points. Choose {able}"):
        session(name, "ring")


def test_samples_are_in_the_coordinates_of_the_data(trained: Run) -> None:
    gan = ganzoo.load(trained.path)
    points = gan.sample(5, seed=1)
    assert points.dtype == torch.float32
    with torch.no_grad():
        expected = gan.generate(gan.latent(5, torch.Generator().manual_seed(1))) * gan.spec.scale
    torch.testing.assert_close(points, expected)
    assert gan.sample(0).shape == (0, 2)


def test_sample_pictures_show_points_over_real_ones(trained: Run) -> None:
    assert trained.grid is not None
    pixels = np.asarray(Image.open(trained.grid)).astype(int)
    grey = (pixels.max(axis=2) - pixels.min(axis=2) < 20) & (pixels.max(axis=2) < 250)
    middle = (len(pixels) - 1) / 2
    radius = np.linalg.norm(np.argwhere(grey) - middle, axis=1) / middle * imaging.MARGIN * trained.spec.scale
    assert len(radius) > 50
    assert np.abs(radius - 1).max() < 0.06  # the ring of the data
    red = pixels[..., 0] - pixels[..., 1]
    assert red.max() > 100


def test_sample_writes_points(trained: Run, ganzoo_cli: Command, tmp_path: Path) -> None:
    out = tmp_path / "points.npz"
    result = ganzoo_cli("sample", trained.path, "--count", 300, "--seed", 3, "--out", out)
    assert (result.code, result.err) == (0, "")
    assert "300 points written to" in result.out
    with np.load(out) as file:
        assert list(file) == ["run", "step", "seed", "count", "points"]
        assert file["points"].shape == (300, 2)
        np.testing.assert_array_equal(file["points"], ganzoo.load(trained.path).sample(300, seed=3).numpy())
    picture = tmp_path / "points.png"
    assert ganzoo_cli("sample", trained.path, "--out", picture).code == 0
    assert Image.open(picture).mode == "RGB"


def test_points_are_not_written_to_a_directory(trained: Run, ganzoo_cli: Command, tmp_path: Path) -> None:
    result = ganzoo_cli("sample", trained.path, "--out", tmp_path / "many")
    assert result.code == 2
    assert "this run generates points. Choose FILE.png or FILE.npz" in result.err
    assert not (tmp_path / "many").exists()


def test_the_terminal_shows_points(ganzoo_cli: Command, tmp_path: Path) -> None:
    result = ganzoo_cli("train", "vanilla", "--dataset", "ring", "--steps", 1, "--out", tmp_path / "run")
    assert result.code == 0
    assert "vanilla on 100,000 points of 2 numbers of ring" in result.out
    assert any(block in result.out for block in "▀▄▓█")


def test_scatter_draws_points_at_their_coordinates() -> None:
    points = torch.tensor([[2.0, 0.0], [0.0, -2.0], [99.0, 0.0]])
    picture = imaging.scatter(points, scale=2.0, side=101)
    marked = np.argwhere((picture != 255).any(dim=0).numpy())
    centre = 50
    reach = round(centre / imaging.MARGIN)
    centres = {(centre, centre + reach), (centre + reach, centre)}
    assert {tuple(pixel) for pixel in marked} == {
        (row + i, column + j) for row, column in centres for i in (-1, 0, 1) for j in (-1, 0, 1)
    }


def test_overlapping_points_are_more_saturated() -> None:
    once, often = (imaging.scatter(torch.ones(n, 2), scale=2.0, side=51).float().mean() for n in (1, 5))
    assert often < once < 255


def test_settings_may_differ_between_points_and_images() -> None:
    """The defaults of the variant data=points apply to points only, and explicit settings override them."""
    plain, points = session("vanilla", "digits").settings, session("vanilla", "ring").settings
    assert points != plain
    assert session("vanilla", "ring", {"latent_dim": 7}).settings.latent_dim == 7
