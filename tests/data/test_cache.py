from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from ganzoo.core.errors import DataError
from ganzoo.data.cache import STALE_SECONDS, read_arrays, scratch, write_arrays

Row = tuple[npt.NDArray[np.uint8], "int | None"]


def rows(count: int, labelled: bool = True) -> Iterator[Row]:
    for number in range(count):
        yield np.full((1, 2, 2), number, np.uint8), number % 2 if labelled else None


def test_written_images_are_read_back(tmp_path: Path) -> None:
    home = tmp_path / "cache/key"
    assert read_arrays(home) is None
    stored = write_arrays(home, rows(5), (1, 2, 2), ["a note"], "test")
    assert isinstance(stored.values, np.memmap)
    assert not stored.values.flags.writeable
    assert stored.values[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert stored.labels is not None
    assert stored.labels.tolist() == [0, 1, 0, 1, 0]
    assert stored.notes == ("a note",)
    again = read_arrays(home)
    assert again is not None
    assert again.sha256 == stored.sha256
    assert write_arrays(tmp_path / "other", rows(5, labelled=False), (1, 2, 2), (), "test").labels is None


def cut(home: Path) -> None:
    os.truncate(home / "images.u8", 10)


def flip(home: Path) -> None:
    data = bytearray((home / "images.u8").read_bytes())
    data[7] ^= 1
    (home / "images.u8").write_bytes(data)


def relabel(home: Path) -> None:
    np.ones(5, "<i8").tofile(home / "labels.i64")


def empty_meta(home: Path) -> None:
    (home / "meta.json").write_bytes(b"")


def other_format(home: Path) -> None:
    meta = json.loads((home / "meta.json").read_text())
    (home / "meta.json").write_text(json.dumps(meta | {"format": 0}))


def no_labels(home: Path) -> None:
    (home / "labels.i64").unlink()


@pytest.mark.parametrize("damage", [cut, flip, relabel, empty_meta, other_format, no_labels])
def test_damage_is_detected_and_built_over(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    home = tmp_path / "key"
    sha256 = write_arrays(home, rows(5), (1, 2, 2), (), "test").sha256
    damage(home)
    assert read_arrays(home) is None
    assert write_arrays(home, rows(5), (1, 2, 2), (), "test").sha256 == sha256
    assert os.listdir(tmp_path) == ["key"]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[Row]:
        yield from rows(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_arrays(tmp_path / "key", failing(), (1, 2, 2), (), "test")
    assert os.listdir(tmp_path) == []


def test_the_faster_of_two_builds_stays(tmp_path: Path) -> None:
    home = tmp_path / "key"

    def overtaken() -> Iterator[Row]:
        yield from rows(3)
        write_arrays(home, rows(3), (1, 2, 2), ["the other"], "test")

    assert write_arrays(home, overtaken(), (1, 2, 2), ["mine"], "test").notes == ("the other",)
    assert os.listdir(tmp_path) == ["key"]


def test_remains_of_killed_processes_are_swept_when_old(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / f".partial-{name}").mkdir()
    long_ago = time.time() - STALE_SECONDS - 1
    os.utime(tmp_path / ".partial-old", (long_ago, long_ago))
    with scratch(tmp_path):
        pass
    assert os.listdir(tmp_path) == [".partial-new"]


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cache .* cannot be written"), scratch(tmp_path / "file/cache"):
        pass
