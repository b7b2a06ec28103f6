"""Real digits, and a stand-in for a GAN that returns fixed images as samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from ganzoo import data
from ganzoo.core.spec import DataSpec
from ganzoo.data import ImageData
from ganzoo.evaluation import feature_extractor
from ganzoo.evaluation.context import EvaluationContext
from ganzoo.evaluation.feature_extractor import FeatureExtractor
from ganzoo.evaluation.metrics import kid, swd
from ganzoo.gan import GAN

Images = npt.NDArray[np.uint8]
SIZE = 16


class Fake:
    """The part of a GAN that metrics use; its samples are fixed images."""

    device = torch.device("cpu")
    paired = False

    def __init__(self, images: Images, labels: npt.NDArray[np.int64] | None):
        self.images = images
        self.labels = labels
        self.conditional = labels is not None
        self.classes = 0 if labels is None else int(labels.max()) + 1
        self.spec = DataSpec(images.shape[1], images.shape[2], self.classes)

    def sample(self, count: int, seed: int) -> torch.Tensor:
        return torch.from_numpy(self.images[:count])

    def class_labels(self, count: int) -> torch.Tensor | None:
        return None if self.labels is None else torch.from_numpy(self.labels[:count])


@dataclass
class Workshop:
    """Digits of 16x16 in three parts: the GAN's training images, images for "good" samples, and the test images."""

    train: ImageData
    good: ImageData
    test: ImageData

    @cached_property
    def feature_extractor(self) -> FeatureExtractor:
        device = torch.device("cpu")
        network, facts = feature_extractor.train_classifier(self.train, self.test, device, lambda _: None)
        accuracy, tested_on = float(facts["accuracy"]), int(facts["tested_on"])
        return FeatureExtractor(network, SIZE, "digits", accuracy, tested_on, facts["sha256"])

    def context(
        self, images: Images, labels: npt.NDArray[np.int64] | None = None, test: bool = True, **options: Any
    ) -> EvaluationContext:
        """The context of a GAN whose samples are `images`."""
        gan: GAN = Fake(images, labels)  # type: ignore[assignment]
        context = EvaluationContext(gan, self.train, self.test if test else None, len(images), **options)
        context.__dict__["feature_extractor"] = self.feature_extractor  # fills the cached property
        return context


def part(data: ImageData, chosen: Any) -> ImageData:
    assert data.labels is not None
    return ImageData(data.images[chosen], data.labels[chosen], data.class_names, "digits", data.split, str(chosen))


@pytest.fixture(scope="session")
def workshop() -> Workshop:
    train = data.open("digits", image_size=SIZE)
    shop = Workshop(
        part(train, slice(0, None, 2)),
        part(train, slice(1, None, 2)),
        data.open("digits", split="test", image_size=SIZE),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_extractor, "MAX_EPOCHS", 12)
        patch.setattr(feature_extractor, "MIN_STEPS", 1)
        assert shop.feature_extractor.accuracy > 0.93
    return shop


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reduce the repetitions of the protocols."""
    monkeypatch.setattr(kid, "SUBSETS", 10)
    monkeypatch.setattr(swd, "DIRECTIONS", 64)
    monkeypatch.setattr(swd, "PATCHES", 32)


def noisy(images: Images) -> Images:
    noise = np.random.default_rng(0).normal(0, 60, images.shape)
    return (images + noise).clip(0, 255).astype(np.uint8)


def blurred(images: Images) -> Images:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images.astype(np.float32), (0, 0, 1.5, 1.5)).round().astype(np.uint8)


def few_modes(images: Images, labels: npt.NDArray[np.int64]) -> Images:
    """Repeat the zeros and ones."""
    return np.resize(images[labels < 2], images.shape)


def few_images(images: Images) -> Images:
    """Repeat ten images."""
    return np.resize(images[:10], images.shape)


Damage = Callable[[Images], Images]
