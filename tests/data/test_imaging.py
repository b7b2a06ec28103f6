from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganzoo.core.errors import GanzooError
from ganzoo.data import imaging


def coloured(count: int, channels: int = 1, height: int = 2, width: int = 3) -> torch.Tensor:
    """Images of a uniform value each: 1, 2, 3, ..."""
    values = torch.arange(1, count + 1, dtype=torch.uint8)
    return values[:, None, None, None].expand(count, channels, height, width)


def test_grid_layout() -> None:
    picture = imaging.grid(coloured(5), columns=3, gap=1)
    assert picture.dtype == torch.uint8
    expected = [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 0],
        [0, 1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 4, 4, 4, 0, 5, 5, 5, 0, 0, 0, 0, 0],
        [0, 4, 4, 4, 0, 5, 5, 5, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert picture[0].tolist() == expected


@pytest.mark.parametrize(("count", "columns", "gap"), [(1, 1, 0), (8, 8, 2), (9, 8, 2), (3, 5, 4)])
def test_grid_size(count: int, columns: int, gap: int) -> None:
    picture = imaging.grid(coloured(count, channels=3), columns, gap)
    rows = -(-count // columns)
    assert picture.shape == (3, rows * (2 + gap) + gap, columns * (3 + gap) + gap)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_saved_picture_reads_back_the_same(channels: int, mode: str, tmp_path: Path) -> None:
    picture = torch.randint(0, 256, (channels, 5, 7), dtype=torch.uint8)
    path = tmp_path / "grid.png"
    imaging.save(picture, path)
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", mode, (7, 5))
        pixels = np.asarray(image).reshape(5, 7, channels)
    assert np.array_equal(pixels, picture.permute(1, 2, 0).numpy())
    assert [file.name for file in tmp_path.iterdir()] == ["grid.png"]


def test_save_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    path.write_text("old")
    imaging.save(torch.zeros(1, 2, 2, dtype=torch.uint8), path)
    with Image.open(path) as image:
        assert image.size == (2, 2)


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "grid.png"
    with pytest.raises(GanzooError, match=r"Cannot write .*missing/grid\.png: "):
        imaging.save(torch.zeros(1, 2, 2, dtype=torch.uint8), path)


def test_no_temporary_file_remains_if_the_path_is_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    path.mkdir()
    with pytest.raises(GanzooError, match="Cannot write"):
        imaging.save(torch.zeros(1, 2, 2, dtype=torch.uint8), path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_of_two_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GanzooError, match="1, 3 or 4 channels, not 2"):
        imaging.save(torch.zeros(2, 4, 4, dtype=torch.uint8), tmp_path / "grid.png")
    assert list(tmp_path.iterdir()) == []


def test_kinds_are_interleaved_row_by_row_and_become_rgb_if_one_is() -> None:
    first, second = coloured(5), coloured(5, channels=3) + 10
    mixed = imaging.interleave([first, second], columns=3)
    assert mixed.shape == (12, 3, 2, 3)
    assert mixed[:, 2, 0, 0].tolist() == [1, 2, 3, 11, 12, 13, 4, 5, 0, 14, 15, 0]
    assert torch.equal(imaging.grid(imaging.interleave([first], 3), 3), imaging.grid(first, 3))
