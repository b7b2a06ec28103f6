"""`folder:` reads zip archives as it reads folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataLocation
from tests.data.pictures import GREEN, RED, archive, draw, load


@pytest.mark.parametrize("folder", ["", "photos/"])
def test_an_archive_is_read_like_its_folder(where: DataLocation, root: Path, tmp_path: Path, folder: str) -> None:
    for name in ("train/a/1.png", "train/b/2.png", "test/a/3.png"):
        draw(root / name, colour=GREEN if "b" in name else RED)
    draw(root / "__MACOSX/1.png")
    shutil.rmtree(root / "__MACOSX")
    zipped = archive(tmp_path / "photos.zip", root, folder)
    for split in ("train", "test"):
        of_folder, of_archive = load(where, root, split), load(where, zipped, split)
        assert of_folder.sha256 == of_archive.sha256
        assert of_folder.class_names == of_archive.class_names
        assert of_archive.notes == ()


def test_labels_of_an_archive_as_stylegan_writes_them(where: DataLocation, root: Path, tmp_path: Path) -> None:
    for number in range(3):
        draw(root / f"00000/img{number}.png")
    labels = [["00000/img0.png", 4], ["00000/img2.png", 0]]
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    for place in (root, archive(tmp_path / "photos.zip", root)):
        data = load(where, place)
        assert data.labels is not None
        assert data.labels.tolist() == [4, -1, 0]
        assert data.class_names == ("0", "1", "2", "3", "4")
    (root / "dataset.json").write_text('{"labels": null}')
    assert load(where, root).labels is None
    for damage in ('{"labels": [[1]]}', "[]", "{", '{"labels": [["00000/img0.png", "cat"]]}'):
        (root / "dataset.json").write_text(damage)
        with pytest.raises(DataError, match=r"dataset\.json"):
            load(where, root)


def test_damaged_archives_are_refused(where: DataLocation, root: Path, tmp_path: Path) -> None:
    draw(root / "a.png")
    zipped = archive(tmp_path / "photos.zip", root)
    content = zipped.read_bytes()
    zipped.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="expected a folder or a zip archive"):
        load(where, zipped)
    damaged = bytearray(content)
    damaged[60] ^= 255  # in the compressed pixels
    zipped.write_bytes(damaged)
    with pytest.raises(DataError, match=r"None of the image files can be read: a\.png"):
        load(where, zipped)
