from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from ganzoo.core import registry
from ganzoo.core.spec import DataLocation
from tests.conftest import Command

KEYS = [
    "name", "kind", "argument", "paired", "summary", "source", "on_disk", "distribution", "version", "status", "error"
]  # fmt: skip
ALWAYS = {"digits", "ring", "grid"}
PAIRED = ("mosaic", "blur", "mask", "pairs")


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
        assert row["argument"] == (
            "PATH" if row["name"] in ("folder", "pairs") else "[PIXELS:]DATASET" if row["paired"] else None
        )
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
    assert re.search(r"^kmnist .* no \(downloaded on first use\) +ganzoo", result.out, re.MULTILINE)
    assert re.search(r"^folder:PATH ", result.out, re.MULTILINE)
    assert f"stored in {DataLocation.find().cache}" in result.out
    assert f"Files in {tmp_path / 'mine'} are used first" in result.out
