from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.core import registry
from ganzoo.core.spec import DataLocation
from tests.conftest import Command

KEYS = [
    "name", "kind", "argument", "paired", "summary", "source", "on_disk", "distribution", "version", "status", "error"
]  # fmt: skip
ALWAYS = {"digits", "ring", "grid"}
PAIRED = ("mosaic", "blur", "mask", "pairs", "unpaired")
ARGUMENTS = {"folder": "PATH", "pairs": "PATH", "audio": "PATH", "table": "PATH", "video": "PATH", "unpaired": "A,B"}


@pytest.fixture(autouse=True)
def _nothing_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GANZOO_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_: str(tmp_path / "cache"))


def mnist_in(directory: Path) -> Path:
    raw = directory / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(b"x"))
    return directory


def on_disk(result: str) -> set[str]:
    return {row["name"] for row in json.loads(result) if row["on_disk"]}


def test_json_describes_every_data_set(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("datasets", "--json")
    assert (result.code, result.err) == (0, "")
    rows = json.loads(result.out)
    assert [row["name"] for row in rows] == sorted(entry.name for entry in registry.datasets())
    for row in rows:
        assert list(row) == KEYS
        assert (row["status"], row["error"]) == ("ok", None)
        assert row["summary"]
        assert row["source"]
        assert row["paired"] is (row["name"] in PAIRED)
        assert row["argument"] == ARGUMENTS.get(row["name"], "[PIXELS:]DATASET" if row["paired"] else None)
    assert on_disk(result.out) == ALWAYS


def test_files_in_the_data_directory_are_on_disk(
    ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = str(mnist_in(tmp_path / "mine"))
    assert on_disk(ganzoo_cli("datasets", "--json", "--data-dir", mine).out) == ALWAYS | {"mnist", "stacked_mnist"}
    monkeypatch.setenv("GANZOO_DATA", mine)
    assert on_disk(ganzoo_cli("datasets", "--json").out) == ALWAYS | {"mnist", "stacked_mnist"}


def test_table_says_what_is_on_disk_and_where(ganzoo_cli: Command, tmp_path: Path) -> None:
    result = ganzoo_cli("datasets", "--data-dir", str(mnist_in(tmp_path / "mine")))
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^digits .* yes +ganzoo", result.out, re.MULTILINE)
    assert re.search(r"^mnist .* yes +ganzoo", result.out, re.MULTILINE)
    assert re.search(r"^kmnist .* no +ganzoo", result.out, re.MULTILINE)
    assert re.search(r"^folder:PATH ", result.out, re.MULTILINE)
    assert f"to {DataLocation.find().cache}" in result.out
    assert f"Files in {tmp_path / 'mine'} are used first" in result.out


def test_names_are_whole_in_a_narrow_terminal(ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert re.search(r"^mosaic:\[PIXELS:\]DATASET ", ganzoo_cli("datasets").out, re.MULTILINE)


def test_a_preview_shows_what_will_be_trained_on(ganzoo_cli: Command, tmp_path: Path) -> None:
    shown = ganzoo_cli("datasets", "digits", "--preview", "--out", tmp_path / "grid.png")
    assert (shown.code, shown.err) == (0, "")
    for words in ("1x8x8 images", "1,442", "355", "0 (143)", "9 (144)", f"grid of 80 written to {tmp_path}"):
        assert words in shown.out
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (10 * 10 + 2, 8 * 10 + 2)
        rows = np.asarray(picture)[2:10, 2:10]
    assert rows.any()


def test_a_preview_as_json_and_of_other_data(ganzoo_cli: Command, tmp_path: Path) -> None:
    facts = json.loads(ganzoo_cli("datasets", "mosaic:2:digits", "--preview", "--json").out)
    assert facts["splits"] == {"train": 1442, "test": 355}
    assert facts["fields"]["input"] == "1x8x8 images"
    assert facts["classes"]["3"] == 147
    ring = ganzoo_cli("datasets", "ring", "--preview", "--out", tmp_path / "ring.png")
    assert (ring.code, "2 points (scale" in ring.out) == (0, True)


def test_a_preview_of_a_table_lists_its_columns(ganzoo_cli: Command, tmp_path: Path) -> None:
    lines = ["size,colour", *(f"{number % 5},{('red', 'blue')[number % 2]}" for number in range(40))]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    shown = ganzoo_cli("datasets", f"table:{tmp_path}/mine.csv", "--preview", "--out", tmp_path / "plot.png")
    assert "columns size (0 to 4), colour (2 categories)" in " ".join(shown.out.split())
    assert "A plot of 32 written to" in shown.out


def test_a_preview_of_class_folders_shows_every_class(ganzoo_cli: Command, tmp_path: Path) -> None:
    for label, shade in (("a", 60), ("b", 200)):
        for number in range(100):
            path = tmp_path / f"photos/{label}/{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), shade).save(path)
    shown = ganzoo_cli("datasets", f"folder:{tmp_path}/photos", "--preview", "--out", tmp_path / "grid.png")
    assert shown.code == 0
    assert "none" in shown.out  # no test split
    assert set(np.unique(np.asarray(Image.open(tmp_path / "grid.png")))) == {0, 60, 200}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nosuch", "--preview"), "No data set is called"),
        (("--preview",), "--preview needs the NAME of a data set"),
        (("digits",), "say what to do with digits: --preview"),
        (("digits", "--preview", "--out", "x.jpg"), "expected FILE.png"),
    ],
)
def test_wrong_calls_are_refused(ganzoo_cli: Command, arguments: tuple[str, ...], words: str) -> None:
    result = ganzoo_cli("datasets", *arguments)
    assert (result.code, words in result.err) == (2, True), result.err


def test_the_cache_is_listed_and_deleted_when_confirmed(
    ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (8, 8), 60).save((tmp_path / "photos").mkdir() or tmp_path / "photos/1.png")
    assert "is empty" in ganzoo_cli("datasets", "--cache").out
    ganzoo_cli("datasets", f"folder:{tmp_path}/photos", "--preview")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_text("x")
    (tmp_path / "cache/folder/link").symlink_to(tmp_path / "outside")
    listed = ganzoo_cli("datasets", "--cache")
    assert listed.code == 0
    assert f"folder:{tmp_path}/photos" in listed.out
    assert "2 entries" in listed.out
    assert "--yes" in listed.out  # nobody to ask: nothing is deleted
    assert len(list((tmp_path / "cache/folder").iterdir())) == 2
    rows = json.loads(ganzoo_cli("datasets", "--cache", "--json").out)
    assert {row["kind"] for row in rows} == {"folder"}
    assert sum(row["bytes"] for row in rows) > 64
    assert ganzoo_cli("datasets", "mnist", "--cache", "--yes").code == 0
    assert len(list((tmp_path / "cache/folder").iterdir())) == 2
    deleted = ganzoo_cli("datasets", "folder", "--cache", "--yes")
    assert (deleted.code, "Deleted 2 entries" in deleted.out) == (0, True)
    assert not list((tmp_path / "cache").rglob("*.u8"))
    assert (tmp_path / "outside/precious").exists()
