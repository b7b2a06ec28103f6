"""Combinations of classes, with a stand-in for the classifier: the class is the brightness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganzoo import data
from ganzoo.data import ImageData
from ganzoo.evaluation.metrics.modes import uniform_divergence
from ganzoo.evaluation.metrics.stacked import count_combinations


def brightness(images: np.ndarray) -> tuple[Any, torch.Tensor]:
    assert images.shape[1] == 1
    return None, torch.nn.functional.one_hot(torch.from_numpy(images.mean(axis=(1, 2, 3)) // 25).long(), 10)


def stacked(digits: list[tuple[int, int, int]]) -> np.ndarray:
    return np.stack([np.stack([np.full((4, 4), 25 * d + 3, np.uint8) for d in triple]) for triple in digits])


def test_combinations_are_counted() -> None:
    counts = count_combinations(stacked([(0, 0, 7), (0, 0, 7), (9, 1, 2), (2, 1, 9)]), brightness)  # type: ignore[arg-type]
    assert counts.shape == (1000,)
    assert {i: int(counts[i]) for i in np.flatnonzero(counts)} == {7: 2, 912: 1, 219: 1}


def test_missing_modes_increase_the_divergence() -> None:
    every = [(a, b, c) for a in range(10) for b in range(10) for c in range(10)]
    counts = count_combinations(stacked(every), brightness)  # type: ignore[arg-type]
    assert (counts == 1).all()
    assert uniform_divergence(counts) == pytest.approx(0)
    half = count_combinations(stacked([t for t in every if t[0] < 5]), brightness)  # type: ignore[arg-type]
    assert uniform_divergence(half) == pytest.approx(np.log(2))


def test_stacked_mnist_is_made_of_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = ImageData(
        np.random.default_rng(0).integers(0, 256, (50, 1, 4, 4)).astype(np.uint8),
        np.arange(50) % 10, tuple("0123456789"), "MNIST", "train", "0" * 64,
    )  # fmt: skip
    monkeypatch.setattr("ganzoo_plugins.datasets.idx.MNIST.load", lambda *_: digits)
    monkeypatch.setattr("ganzoo_plugins.datasets.stacked.COUNTS", {"train": 300, "test": 100})
    train, test = data.open("stacked_mnist"), data.open("stacked_mnist", split="test")
    assert isinstance(train, ImageData)
    assert train.images.shape == (300, 3, 4, 4)
    assert train.channels_of == "mnist"
    assert (train.spec.channels, train.spec.classes) == (3, 0)
    known = {image.tobytes() for image in digits.images[:, 0]}
    assert {channel.tobytes() for image in train.images for channel in image} == known  # 900 draws of 50
    assert train.sha256 == data.open("stacked_mnist").sha256 != test.sha256
