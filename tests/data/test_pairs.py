from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ganzoo_plugins.datasets.pairs import Pairs
from PIL import Image

import ganzoo.data
from ganzoo.core.errors import DataError, SplitError, UsageError
from ganzoo.core.spec import DataLocation, DataSpec, Split
from ganzoo.data.images import ImageData


def draw(path: Path, shade: int, mode: str = "L", size: tuple[int, int] = (12, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, shade if mode == "L" else (shade, 0, 0)).save(path)


def pairs(root: Path, *names: str) -> None:
    """Pair i has the shades 10 * i and 10 * i + 100."""
    for i, name in enumerate(names):
        draw(root / f"inputs/{name}.png", 10 * i)
        draw(root / f"targets/{name}.png", 10 * i + 100)


def load(where: DataLocation, root: Path, split: Split = "train") -> ImageData:
    return Pairs().load(where, split, 8, str(root))


def shades(images: np.ndarray) -> list[int]:
    return [int(value) for value in images[:, 0, 4, 4]]


def test_files_with_the_same_name_are_a_pair(where: DataLocation, tmp_path: Path) -> None:
    pairs(tmp_path / "mine", "b", "a", "deep/er/c")
    data = load(where, tmp_path / "mine")
    assert data.spec == DataSpec(1, 8, 0, inputs=1)
    assert data.inputs is not None
    assert shades(data.inputs) == [10, 0, 20]
    assert shades(data.images) == [110, 100, 120]
    again = load(where, tmp_path / "mine")
    assert again.inputs is not None
    assert isinstance(again.inputs, np.memmap)
    assert np.array_equal(again.inputs, data.inputs)
    assert again.sha256 == data.sha256


def test_endings_may_differ_and_one_coloured_file_makes_all_rgb(where: DataLocation, tmp_path: Path) -> None:
    pairs(tmp_path, "a")
    draw(tmp_path / "inputs/b.webp", 50)
    draw(tmp_path / "targets/b.bmp", 60, "RGB")
    assert load(where, tmp_path).spec == DataSpec(3, 8, 0, inputs=3)


def test_train_and_test_are_the_splits(where: DataLocation, tmp_path: Path) -> None:
    pairs(tmp_path / "train", "a", "b")
    pairs(tmp_path / "test", "c")
    assert (len(load(where, tmp_path)), len(load(where, tmp_path, "test"))) == (2, 1)
    with pytest.raises(SplitError, match="has no test split"):
        load(where, tmp_path / "train", "test")


def test_unreadable_and_mismatched_pairs_are_skipped(where: DataLocation, tmp_path: Path) -> None:
    pairs(tmp_path, "a", "broken", "c", "wide")
    (tmp_path / "targets/broken.png").write_bytes(b"not an image")
    draw(tmp_path / "targets/wide.png", 5, size=(24, 12))
    draw(tmp_path / "targets/c.png", 200, size=(25, 24))  # scaled, with rounding
    data = load(where, tmp_path)
    assert data.inputs is not None
    assert shades(data.inputs) == [0, 20]
    assert shades(data.images) == [100, 200]
    assert data.notes == (
        "inputs: 1 of 4 files skipped: wide.png (its images differ in aspect ratio: 12x12 and 24x12)",
        "targets: 2 of 4 files skipped: broken.png (cannot identify image), wide.png (its images differ in aspect "
        "ratio: 24x12 and 12x12)",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "targets/a.png").unlink(), "in only one of inputs and targets: a"),
        (lambda root: draw(root / "inputs/a.bmp", 1), r"differ only in the ending: a\.bmp"),
        (lambda root: (root / "inputs").rename(root / "input"), "has no folder 'inputs'"),
        (lambda root: [file.rename(file.with_suffix(".txt")) for file in root.glob("*/*.png")], "contains no pairs"),
    ],
)
def test_other_folders_are_refused(change: object, message: str, where: DataLocation, tmp_path: Path) -> None:
    pairs(tmp_path, "a", "b")
    change(tmp_path)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        load(where, tmp_path)


def test_a_path_is_needed(where: DataLocation) -> None:
    with pytest.raises(UsageError, match="write pairs:PATH"):
        Pairs().load(where, "train", None, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pairs:a,", "expected two folders, pairs:A,B"),
        ("unpaired:,b", "expected two folders, unpaired:A,B"),
        ("pairs:input_size=8:{root}", "input_size=8 is not valid: expected input_size=HEIGHTxWIDTH"),
        ("pairs:size=8x8,size=9x9:a,b", "the option size is given twice"),
    ],
)
def test_what_is_written_wrongly_is_named(name: str, message: str, tmp_path: Path) -> None:
    pairs(tmp_path, "a")
    with pytest.raises(UsageError, match=message):
        ganzoo.data.open(name.replace("{root}", str(tmp_path)))
