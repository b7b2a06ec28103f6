"""`ganzoo walk` and `ganzoo film`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ganzoo as package
from ganzoo.training.run import Run
from tests.conftest import Command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("walk") / "run"
    return package.train("cgan", dataset="digits", steps=4, sample_every=2, batch_size=16, width=8, out=out)


def frames(path: Path) -> list[np.ndarray]:
    image: Any = Image.open(path)
    shown = []
    for i in range(image.n_frames):
        image.seek(i)
        shown.append(np.asarray(image.convert("L")))
    return shown


def test_a_walk_is_the_same_again_and_passes_through_samples(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    out = tmp_path / "walk.apng"
    result = ganzoo_cli("walk", run.path, "--frames", 8, "--label", 3, "--out", out)
    assert result.code == 0, result.err
    again = shlex.split(result.out.splitlines()[-1].removeprefix("Again  "))
    assert again[0] == "ganzoo"
    first = out.read_bytes()
    assert ganzoo_cli(*again[1:]).code == 2  # it exists
    assert ganzoo_cli(*again[1:], "--overwrite").code == 0
    assert out.read_bytes() == first

    seed = again[again.index("--seeds") + 1].split(",")[1]
    ganzoo_cli("sample", run.path, "--count", 1, "--seed", seed, "--label", 3, "--out", tmp_path / "one.png")
    sample = np.asarray(Image.open(tmp_path / "one.png"))[2:-2, 2:-2].astype(int)
    assert np.abs(frames(out)[2][16::32, 16::32] - sample).max() <= 1


@pytest.mark.parametrize("name", ["walk.gif", "walk.mp4", "walk.png"])
def test_formats(name: str, run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    if name.endswith(".mp4"):
        pytest.importorskip("av")
    words = ["--seeds", "1,7,9", "--frames", 6, "--truncation", 0.8, "--path", "lerp", "--out", tmp_path / name]
    result = ganzoo_cli("walk", run.path, *words)
    assert result.code == 0, result.err
    assert f"6 frames written to {tmp_path / name} (seeds 1, 7, 9)" in result.out
    assert [file.name for file in tmp_path.iterdir()] == [name]
    if name.endswith(".png"):
        assert Image.open(tmp_path / name).size == (2 * 10 + 2, 3 * 10 + 2)


def test_a_walk_over_points_draws_its_path(tmp_path: Path, ganzoo_cli: Command) -> None:
    points = package.train("vanilla", dataset="ring", steps=2, batch_size=16, out=tmp_path / "ring")
    assert ganzoo_cli("walk", points.path, "--seeds", "0-2", "--frames", 5, "--out", tmp_path / "w.apng").code == 0
    inked = [int((frame < 255).sum()) for frame in frames(tmp_path / "w.apng")]
    assert inked == sorted(inked)
    assert inked[0] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "1"], "--seeds has 1; give at least 2: a walk is from point to point."),
        (["--seeds", "1", "--label", "3", "--label", "8"], "--seeds has 1; give at least 2: one for each --label."),
        (["--seeds", "1,2", *["--label", "3"] * 3], "--seeds has 2; give at least 3: one for each --label."),
        (["--seeds", "1", "--seeds", "2"], "--seeds is given twice, and only the last would count."),
        (["--seeds", "1,x"], "'1,x' is not a list of seeds: expected numbers such as 1,7,9 or 0-4."),
        (["--seeds", "9-1"], "from the smaller to the larger"),
        (["--seeds", "0-9", "--frames", 5], "at least as many frames, not 5"),
        (["--label", "ten"], "'ten' is not a class of this GAN"),
        (["--out", "walk.avi"], "expected a file that ends in .gif or .apng or .mp4 or .png"),
        (["--out", "missing/walk.gif"], "the directory missing does not exist"),
        (["--fps", "60"], "at most 50 frames a second"),
        (["--truncation", "1e-9"], "truncation=1e-09 is too small"),
    ],
)
def test_wrong_usage(
    words: list[object], message: str, run: Run, tmp_path: Path, ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = ganzoo_cli("walk", run.path, *words)
    assert result.code == 2
    assert message in result.err
    assert not list(tmp_path.iterdir())


def test_a_gan_without_latent_space_is_refused(
    tmp_path: Path, ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package.train("pix2pix", dataset="mosaic:digits", steps=1, batch_size=4, out="run", settings={"width": 4})
    result = ganzoo_cli("walk", "run")
    assert result.code == 2
    assert result.err.startswith("Error: This GAN has no latent space")
    assert not Path("walk.gif").exists()


def test_a_film_has_a_captioned_frame_for_each_grid(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("film", run.path, "--out", tmp_path / "film.apng")
    assert "3 sample grids, steps 0 to 4, written" in result.out
    shown = frames(tmp_path / "film.apng")
    grid = np.asarray(Image.open(run.samples / "step-00000004.png"))
    factor = shown[2].shape[1] // grid.shape[1]
    assert np.array_equal(shown[2][: factor * grid.shape[0] : factor, ::factor], grid)
    assert (shown[2][factor * grid.shape[0] :] < 128).any()  # the caption
    assert ganzoo_cli("film", run.path, "--every", 2, "--out", tmp_path / "short.apng").code == 0
    assert np.array_equal(frames(tmp_path / "short.apng")[-1], shown[2])


def test_damaged_and_missing_grids_are_reported(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    broken = Run.open(run.path)
    damaged, fifo = broken.samples / "step-00000005.png", broken.samples / "step-00000006.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\n")
    result = ganzoo_cli("film", run.path, "--out", tmp_path / "film.gif")
    assert result.code == 1
    assert "step-00000005.png cannot be read as a picture" in result.err
    damaged.unlink()
    os.mkfifo(fifo)
    assert "cannot be read as a picture" in ganzoo_cli("film", run.path, "--out", tmp_path / "film.gif").err
    fifo.unlink()
    Image.new("L", (5, 5)).save(damaged)
    assert "has another size" in ganzoo_cli("film", run.path, "--out", tmp_path / "film.gif").err
    damaged.unlink()
    assert not list(tmp_path.iterdir())
