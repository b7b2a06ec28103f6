from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo as package
from ganzoo.training.run import Run
from tests.conftest import Command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("sample") / "run"
    return package.train("cgan", dataset="digits", steps=2, batch_size=16, width=8, out=out)


def test_a_grid(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    out = tmp_path / "grid.png"
    assert ganzoo_cli("sample", run.path, "--count", 16, "--label", 3, "--seed", 0, "--out", out).code == 0
    assert Image.open(out).size == (8 * 10 + 2, 2 * 10 + 2)


def test_arrays(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    files = [tmp_path / "one.npz", tmp_path / "two.npz"]
    for file in files:
        ganzoo_cli("sample", run.path, "--count", 30, "--label", 3, "--label", 5, "--seed", 4, "--out", file)
    one, two = (np.load(file, allow_pickle=False) for file in files)
    assert one["images"].shape == (30, 1, 8, 8)
    assert one["images"].dtype == np.uint8
    assert one["labels"].dtype == np.int64
    assert one["labels"].tolist() == [3, 5] * 15
    assert np.array_equal(one["images"], two["images"])


@pytest.mark.parametrize("name", ["first.png", "first.npz"])
def test_random_samples_can_be_repeated_with_the_stored_seed(
    name: str, run: Run, tmp_path: Path, ganzoo_cli: Command
) -> None:
    first, again, other = tmp_path / name, tmp_path / f"again-{name}", tmp_path / f"other-{name}"
    result = ganzoo_cli("sample", run.path, "--count", 6, "--label", 3, "--out", first)
    stored = Image.open(first).info if name.endswith(".png") else np.load(first, allow_pickle=False)
    assert (str(stored["run"]), int(stored["step"]), int(stored["count"])) == (str(run.path), 2, 6)
    assert f"6 images written to {first} (seed {stored['seed']})" in result.out
    ganzoo_cli("sample", run.path, "--count", 6, "--label", 3, "--seed", stored["seed"], "--out", again)
    assert again.read_bytes() == first.read_bytes()
    ganzoo_cli("sample", run.path, "--count", 6, "--label", 3, "--out", other)
    assert other.read_bytes() != first.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_pictures_in_a_directory_store_run_step_and_seed(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    ganzoo_cli("sample", run.path, "--count", 2, "--label", 3, "--label", 7, "--seed", 5, "--out", tmp_path / "images")
    text = {"run": str(run.path), "step": "2", "seed": "5", "count": "2", "labels": "3,7"}
    assert [Image.open(file).info for file in sorted(tmp_path.glob("images/*/*.png"))] == [text] * 2


def test_a_directory_of_samples_can_be_trained_on(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    out = tmp_path / "images"
    assert ganzoo_cli("sample", run.path, "--count", 40, "--out", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == list("0123456789")
    words = ["train", "cgan", "--dataset", f"folder:{out}", "--image-size", 8, "--steps", 1, "--batch-size", 8]
    assert ganzoo_cli(*words, "--out", tmp_path / "again").code == 0
    assert Run.open(tmp_path / "again").config["dataset"]["images"] == 40


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "10"], "'10' is not a class of this GAN"),
        (["--label", "three"], "'three' is not a class of this GAN"),
        (["--count", 0], "--count"),
        (["--out", "grid.jpg"], "pictures are written as PNG. Choose grid.png"),
        (["--out", "missing/grid.png"], "the directory missing does not exist"),
    ],
)
def test_wrong_usage(words: list[object], message: str, run: Run, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("sample", run.path, *words)
    assert result.code == 2
    assert message in result.err


def test_a_label_for_an_unconditional_gan_is_refused(tmp_path: Path, ganzoo_cli: Command) -> None:
    unconditional = package.train("vanilla", dataset="digits", steps=1, batch_size=16, out=tmp_path / "run")
    result = ganzoo_cli("sample", unconditional.path, "--label", 1)
    assert result.code == 2
    assert "not conditional" in result.err


def test_a_directory_in_use_is_left_alone(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    (tmp_path / "mine.txt").write_text("")
    assert ganzoo_cli("sample", run.path, "--out", tmp_path).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_is_replaced_only_if_asked(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    out = tmp_path / "grid.png"
    out.write_bytes(b"mine")
    refused = ganzoo_cli("sample", run.path, "--count", 4, "--out", out)
    assert refused.code == 2
    assert f"{out} exists. Choose another --out, or add --overwrite." in refused.err
    assert out.read_bytes() == b"mine"
    assert ganzoo_cli("sample", run.path, "--count", 4, "--out", out, "--overwrite").code == 0
    assert Image.open(out).format == "PNG"


def test_without_out_the_next_free_name_is_taken(
    run: Run, tmp_path: Path, ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        assert ganzoo_cli("sample", run.path, "--count", 4).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"samples.png", "samples-2.png", "samples-3.png"}


def test_folders_are_numbered_if_a_class_name_is_unsafe_as_a_path() -> None:
    from ganzoo.cli.sample import folder_names

    assert folder_names(["cat", "dog"]) == ["cat", "dog"]
    for names in (["..", "a"], ["a/b", "c"], ["", "a"], [".git", "a"], ["A", "a"], ["x" * 300, "a"]):
        assert folder_names(names) == ["0", "1"]
