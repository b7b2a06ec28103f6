"""`ganzoo directions`, `arithmetic`, `project` and `sample --method`."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo as package
from ganzoo.evaluation import feature_extractor
from ganzoo.training.run import Run
from tests.conftest import Command, Result


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs cgan, vanilla and ring."""
    home = tmp_path_factory.mktemp("latents")
    package.train("cgan", dataset="digits", steps=4, batch_size=16, width=8, out=home / "cgan")
    package.train("vanilla", dataset="digits", steps=150, batch_size=16, out=home / "vanilla")
    package.train("vanilla", dataset="ring", steps=4, batch_size=16, out=home / "ring")
    return home


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setattr(feature_extractor, "MAX_EPOCHS", 2)
    monkeypatch.setattr(feature_extractor, "MIN_STEPS", 1)
    monkeypatch.chdir(tmp_path)


def repeat(result: Result, file: str, ganzoo_cli: Command) -> None:
    """The command that the result shows makes the same file again."""
    first = Path(file).read_bytes()
    words = shlex.split(result.out.splitlines()[-1].removeprefix("Again  "))
    refused = ganzoo_cli(*words[1:])
    assert refused.code == 2
    assert f"{file} exists. Choose another --out, or add --overwrite." in refused.err
    again = ganzoo_cli(*words[1:], "--overwrite")
    assert again.code == 0, again.err
    assert Path(file).read_bytes() == first


@pytest.mark.parametrize(
    "words",
    [["cgan", "--method", "sefa", "--label", 3], ["vanilla", "--method", "classes"], ["ring", "--method", "sefa"]],
)
def test_directions(words: list[object], home: Path, ganzoo_cli: Command) -> None:
    run, *options = words
    result = ganzoo_cli("directions", home / str(run), *options, "--count", 2)
    assert result.code == 0, result.err
    picture = Image.open("directions.png")
    assert picture.size == ((480, 480) if run == "ring" else (9 * 10 + 2, 2 * 10 + 2))
    effects = [float(line.split()[-1]) for line in result.out.splitlines() if line[:3] in ("1  ", "2  ")]
    assert effects == sorted(effects, reverse=True)
    repeat(result, "directions.png", ganzoo_cli)


def test_vectors_of_directions(home: Path, ganzoo_cli: Command) -> None:
    assert ganzoo_cli("directions", home / "cgan", "--count", 3, "--out", "d.npz").code == 0
    stored = np.load("d.npz", allow_pickle=False)
    assert stored["vectors"].shape == (3, Run.open(home / "cgan").config["settings"]["latent_dim"])
    assert stored["names"].tolist()[0].startswith("component")


def test_classes_of_a_conditional_gan_have_no_direction(home: Path, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("directions", home / "cgan", "--method", "classes")
    assert result.code == 2
    assert "is told the class" in result.err


def test_arithmetic(home: Path, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("arithmetic", home / "vanilla", "1,4,9", "-", "2,8,3", "+", "5,6,7")
    assert result.code == 0, result.err
    picture = np.asarray(Image.open("arithmetic.png"))
    assert picture.shape == (4 * 10 + 2, 9 * 10 + 2)
    ganzoo_cli("sample", home / "vanilla", "--count", 1, "--seed", 8, "--out", "one.png")
    difference = picture[12:20, 12:20].astype(int) - np.asarray(Image.open("one.png"))[2:-2, 2:-2]
    assert np.abs(difference).max() <= 1  # the second sample of the second term
    repeat(result, "arithmetic.png", ganzoo_cli)


def test_a_sum_in_one_word_and_a_term_minus_itself(home: Path, ganzoo_cli: Command) -> None:
    words = ["1-3 - 1-3+7", "--label", 3, "--label", 3, "--label", 8]
    assert ganzoo_cli("arithmetic", home / "cgan", *words).code == 0
    picture = np.asarray(Image.open("arithmetic.png")).astype(int)
    assert np.abs(picture[32:40, 2:10] - picture[22:30, 2:10]).max() <= 1  # A - A + C is C


@pytest.mark.parametrize("words", [["1", "2"], ["-", "1"], ["1", "-"], ["1,x"], ["1", "*", "2"]])
def test_what_is_no_sum_is_refused(words: list[str], home: Path, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("arithmetic", home / "cgan", *words)
    assert result.code == 2
    assert "expected" in result.err
    assert not list(Path.cwd().glob("*.png"))


@pytest.mark.parametrize("features", ["discriminator", "classifier", "none"])
def test_project(features: str, home: Path, ganzoo_cli: Command) -> None:
    words = ["--features", features, "--steps", 5, "--candidates", 20, "--starts", 2, "--film", "way.gif"]
    result = ganzoo_cli("project", home / "cgan", "test:17", *words)
    assert result.code == 0, result.err
    assert "best of 20 random samples" in result.out
    assert Image.open("projection.png").size == (3 * 10 + 2, 12)
    assert Image.open("way.gif").n_frames > 1  # type: ignore[attr-defined]
    Path("way.gif").unlink()
    repeat(result, "projection.png", ganzoo_cli)


def test_a_picture_of_ones_own(home: Path, ganzoo_cli: Command) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 4), dtype=np.uint8)
    Image.fromarray(noise).save("mine.png")
    words = ["--steps", 2, "--candidates", 5, "--label", 3, "--out", "p.npz"]
    assert ganzoo_cli("project", home / "cgan", "mine.png", *words).code == 0
    stored = np.load("p.npz", allow_pickle=False)
    assert stored["image"].shape == stored["projection"].shape == (1, 8, 8)
    assert int(stored["condition"].argmax()) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cgan", "missing.png"], "missing.png cannot be read as a picture: No such file"),
        (["cgan", "broken.png"], "broken.png cannot be read as a picture"),
        (["cgan", "test:99999"], "images, the last is"),
        (["cgan", "test:1", "--film", "way.avi"], "expected a file that ends in .gif"),
        (["vanilla", "test:1", "--label", "3"], "not conditional"),
        (["ring", "test:1"], "Projection is of images"),
    ],
)
def test_projections_that_are_refused(words: list[str], message: str, home: Path, ganzoo_cli: Command) -> None:
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = ganzoo_cli("project", home / words[0], *words[1:])
    assert result.code in (1, 2)
    assert message in result.err
    assert [path.name for path in Path.cwd().iterdir() if path.name[0] != "."] == ["broken.png"]


@pytest.mark.parametrize("method", ["topk", "drs", "mh"])
@pytest.mark.parametrize("run", ["cgan", "ring"])
def test_samples_by_method(
    method: str, run: str, home: Path, ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganzoo.latents.selection.CHAIN", 3)
    monkeypatch.setattr("ganzoo.latents.selection.BURN_IN", 100)
    monkeypatch.setattr("ganzoo.latents.selection.CALIBRATION_STEPS", 2)
    words = ["--method", method, "--count", 12, *(["--label", 3, "--label", 5] if run == "cgan" else [])]
    result = ganzoo_cli("sample", home / run, *words, "--seed", 1, "--out", "one.npz")
    assert result.code == 0, result.err
    assert f"(seed 1, {method}), chosen from" in result.out
    ganzoo_cli("sample", home / run, *words, "--seed", 1, "--out", "two.npz")
    one, two = (np.load(file, allow_pickle=False) for file in ("one.npz", "two.npz"))
    kind = "images" if run == "cgan" else "points"
    assert np.array_equal(one[kind], two[kind])
    assert str(one["method"]) == method
    assert run == "ring" or one["labels"].tolist() == [3, 5] * 6
