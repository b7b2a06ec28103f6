"""Data that some metrics cannot measure: they say why, and the others are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo
from ganzoo.core.errors import UsageError
from ganzoo.evaluation.samples import evaluate_samples


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


def write_classes(folder: Path, counts: dict[str, int]) -> None:
    """Images of 8x8 in a sub-folder per class; each class has a brightness of its own."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        rng = np.random.default_rng(len(str(folder)) + number)
        for i in range(count):
            pixels = rng.integers(60 * number, 60 * number + 50, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def test_a_test_image_of_a_class_that_is_not_trained_on_belongs_to_no_class(tmp_path: Path) -> None:
    write_classes(tmp_path / "data/train", {"a": 300, "b": 300})
    write_classes(tmp_path / "data/test", {"a": 60, "b": 60, "new": 60})
    write_classes(tmp_path / "samples", {"a": 60, "b": 60})
    metrics = ["class_coverage", "label_accuracy"]
    result = evaluate_samples(f"folder:{tmp_path}/samples", f"folder:{tmp_path}/data", metrics=metrics)
    assert result.findings["class_coverage"]["protocol"]["images_of_a_class"] == [60, 60]
    assert result.figures["label_accuracy"]["value"] > 0.9


def test_a_tiny_test_split_gives_no_score_of_real_data(tmp_path: Path) -> None:
    """Its nearest neighbours, covariances and subsets mean nothing, and fewer than 6 images have none."""
    write_classes(tmp_path / "data/train", {"a": 150, "b": 150, "c": 150})
    write_classes(tmp_path / "data/test", {"a": 1, "b": 2, "c": 2})
    write_classes(tmp_path / "samples", {"a": 100, "b": 100, "c": 100})
    result = evaluate_samples(
        f"folder:{tmp_path}/samples", f"folder:{tmp_path}/data", reference="train",
        metrics=["class_coverage", "coverage", "frechet", "kid", "memorisation"],
    )  # fmt: skip
    for name in ("class_coverage", "coverage", "frechet", "kid"):
        assert "real" not in result.figures[name]
    assert result.findings["coverage"]["protocol"]["samples"] == 300
    assert result.findings["memorisation"]["protocol"]["held_out"] == "450 train images"


def test_too_few_images_for_a_classifier(tmp_path: Path) -> None:
    write_classes(tmp_path / "data", {"a": 1, "b": 1})
    write_classes(tmp_path / "samples", {"a": 8, "b": 8})
    result = evaluate_samples(f"folder:{tmp_path}/samples", f"folder:{tmp_path}/data")
    assert result.skipped["label_accuracy"] == (
        "needs at least 4 train images with a label for its classifier, but there are 2"
    )
