"""Combinations of classes, with a stand-in for the classifier: the class is the brightness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ganzoo import data
from ganzoo.data import ImageData
from ganzoo.evaluation import feature_extractor
from ganzoo.evaluation.context import EvaluationContext
from ganzoo.evaluation.metric import MetricValue
from ganzoo.evaluation.metrics.modes import uniform_divergence
from ganzoo.evaluation.metrics.stacked import StackedModes, count_combinations
from ganzoo.gan import GAN
from tests.evaluation.metrics.conftest import Fake


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


@pytest.fixture
def mnist(monkeypatch: pytest.MonkeyPatch) -> ImageData:
    """A small replacement for MNIST, of which stacked_mnist consists."""
    digits = ImageData(
        np.random.default_rng(0).integers(0, 256, (50, 1, 4, 4)).astype(np.uint8),
        np.arange(50) % 10, tuple("0123456789"), "MNIST", "train", "0" * 64,
    )  # fmt: skip
    monkeypatch.setattr("ganzoo_plugins.datasets.idx.MNIST.load", lambda *_: digits)
    monkeypatch.setattr("ganzoo_plugins.datasets.stacked.COUNTS", {"train": 300, "test": 100})
    return digits


def test_stacked_mnist_consists_of_mnist(mnist: ImageData) -> None:
    train, test = data.open("stacked_mnist"), data.open("stacked_mnist", split="test")
    assert isinstance(train, ImageData)
    assert train.images.shape == (300, 3, 4, 4)
    assert train.channels_of == "mnist"
    assert (train.spec.channels, train.spec.classes) == (3, 0)
    known = {image.tobytes() for image in mnist.images[:, 0]}
    assert {channel.tobytes() for image in train.images for channel in image} == known  # 900 draws of 50
    assert train.sha256 == data.open("stacked_mnist").sha256 != test.sha256


def test_samples_are_compared_with_real_images(mnist: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_extractor, "MAX_EPOCHS", 1)
    monkeypatch.setattr(feature_extractor, "MIN_STEPS", 200)
    train, test = data.open("stacked_mnist"), data.open("stacked_mnist", split="test")
    assert isinstance(train, ImageData)
    assert isinstance(test, ImageData)

    def measure(images: np.ndarray) -> dict[str, MetricValue]:
        gan: GAN = Fake(images, None)  # type: ignore[assignment]
        context = EvaluationContext(gan, train, test, len(images))
        assert StackedModes().inapplicable_reason(context) is None
        result = StackedModes().measure(context)
        assert result.protocol["samples"] == result.protocol["reference"] == 100
        return result.values

    same = measure(test.images)
    assert same["stacked_modes"].value == same["stacked_modes"].real
    assert same["stacked_kl"].value == same["stacked_kl"].real
    assert same["stacked_modes"].value > 10
    collapsed = measure(np.repeat(test.images[:1], 100, axis=0))
    assert collapsed["stacked_modes"].value == 1
    assert collapsed["stacked_kl"].value == pytest.approx(np.log(1000))
