"""Data that some metrics cannot measure: they say why, and the others are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import ganzoo


def write(folder: Path, count: int, size: tuple[int, int], seed: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / f"{number}.png")


def measured(root: Path, tmp_path: Path) -> ganzoo.Evaluation:
    run = ganzoo.train("vanilla", dataset=f"folder:{root}", steps=2, batch_size=8, out=tmp_path / "run")
    return ganzoo.evaluate(run, samples=120)


def test_images_too_small_for_the_classifier(tmp_path: Path) -> None:
    for number, label in enumerate("ab"):
        write(tmp_path / "tiny/train" / label, 60, (3, 5), number)
        write(tmp_path / "tiny/test" / label, 60, (3, 5), 2 + number)
    result = measured(tmp_path / "tiny", tmp_path)
    assert "images of at least 4 pixels a side" in result.skipped["frechet"]
    assert "copies_pixels" in result.figures
    assert "ms_ssim" in result.figures


def test_classes_in_the_training_data_only(tmp_path: Path) -> None:
    for number, label in enumerate("ab"):
        write(tmp_path / "mixed/train" / label, 60, (8, 12), number)
    write(tmp_path / "mixed/test", 110, (8, 12), 9)
    result = measured(tmp_path / "mixed", tmp_path)
    assert "labels of the test data, which have none" in result.skipped["frechet"]
    assert "copies_pixels" in result.figures
