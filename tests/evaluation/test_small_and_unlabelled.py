"""Data that some metrics cannot measure: they say why, and the others are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo
from ganzoo.core.errors import UsageError


def write(folder: Path, count: int, size: tuple[int, int], seed: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / f"{number}.png")


def trained(root: Path, tmp_path: Path) -> Path:
    return ganzoo.train("vanilla", dataset=f"folder:{root}", steps=2, batch_size=8, out=tmp_path / "run").path


def test_images_too_small_for_the_classifier(tmp_path: Path) -> None:
    for number, label in enumerate("ab"):
        write(tmp_path / "tiny/train" / label, 60, (3, 5), number)
        write(tmp_path / "tiny/test" / label, 60, (3, 5), 2 + number)
    run = trained(tmp_path / "tiny", tmp_path)
    with pytest.raises(UsageError, match=r"frechet does not apply .* needs images of at least 4 pixels a side"):
        ganzoo.evaluate(run, metrics=["frechet"], samples=8)
    assert ganzoo.evaluate(run, metrics=["memorisation", "ms_ssim"], samples=120).figures.keys() >= {
        "copies_pixels", "ms_ssim"
    }  # fmt: skip


def test_classes_in_the_training_data_only(tmp_path: Path) -> None:
    for number, label in enumerate("ab"):
        write(tmp_path / "mixed/train" / label, 60, (8, 12), number)
    write(tmp_path / "mixed/test", 110, (8, 12), 9)
    run = trained(tmp_path / "mixed", tmp_path)
    with pytest.raises(UsageError, match="needs labels of the test data, which have none"):
        ganzoo.evaluate(run, metrics=["frechet"], samples=8)
    assert "copies_pixels" in ganzoo.evaluate(run, metrics=["memorisation"], samples=120).figures
