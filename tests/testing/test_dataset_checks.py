"""Every check of a data set finds the mistakes it is meant for."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ganzoo.core.errors import UsageError
from ganzoo.core.plugin import Dataset
from ganzoo.data.images import ImageData, resize, sha256_of
from ganzoo.testing import dataset_checks, run
from ganzoo.testing.checks import DATASET
from ganzoo.testing.datasets import DatasetFixture
from ganzoo.testing.kit import checks_of


class Good(Dataset):
    """Forty images of noise in two classes; passes every check."""

    __module__ = "ganzoo.core.plugin"
    api_version = 1
    summary = "noise"
    source = "made here"

    def load(self, where: Any, split: Any, image_size: int | None, argument: str | None) -> ImageData:
        rng = np.random.default_rng(0 if split == "train" else 1)
        images, labels = rng.integers(0, 256, (40, 1, 8, 8), np.uint8), np.arange(40) % 2
        images = images if image_size is None else resize(images, image_size)
        return ImageData(images, labels, ("a", "b"), "noise", split, sha256_of(images, labels))


def altered(**changes: Any) -> type[Dataset]:
    """Good with fields of its ImageData replaced; a function receives the ImageData."""

    class Altered(Good):
        __module__ = "ganzoo.core.plugin"

        def load(self, *arguments: Any) -> ImageData:
            data = super().load(*arguments)
            new = {name: value(data) if callable(value) else value for name, value in changes.items()}
            return dataclasses.replace(data, **new)

    return Altered


class Vague(Good):
    def on_disk(self, where: Any) -> Any:
        return "perhaps"


class Slow(Good):
    def on_disk(self, where: Any) -> Any:
        time.sleep(0.6)
        return True


class IgnoresSize(Good):
    def load(self, where: Any, split: Any, image_size: int | None, argument: str | None) -> ImageData:
        return super().load(where, split, None, argument)


class OneSplit(Good):
    def load(self, where: Any, split: Any, image_size: int | None, argument: str | None) -> ImageData:
        return dataclasses.replace(super().load(where, "train", image_size, argument), split=split)


class FewerClasses(Good):
    def load(self, where: Any, split: Any, image_size: int | None, argument: str | None) -> ImageData:
        data = super().load(where, split, image_size, argument)
        return data if split == "train" else dataclasses.replace(data, labels=None, class_names=())


class AnyPath(Good):
    argument = "PATH"


class NamelessRefusal(AnyPath):
    def load(self, *arguments: Any) -> ImageData:
        raise UsageError("no")


class ChannelsLast(Good):
    def load(self, where: Any, split: Any, image_size: int | None, argument: str | None) -> ImageData:
        images = np.random.default_rng(0).integers(0, 256, (40, 24, 40, 2), np.uint8)
        return ImageData(images, None, (), "noise", split, sha256_of(images, None))


class Missing(Good):
    def load(self, *arguments: Any) -> Any:
        return np.load("/no/such/file.npz")


class SaysPairs(Good):
    paired = True


class Points(Good):
    kind = "points"


def random_labels(data: ImageData) -> Any:
    return np.random.default_rng().permutation(data.labels)


def random_images(data: ImageData) -> Any:
    return np.random.default_rng().permutation(data.images)


def noisy(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    return torch.randint_like(images, 256)


def altered_pairs(**changes: Any) -> type[Dataset]:
    return type("AlteredPairs", (altered(**changes),), {"paired": True, "__module__": "ganzoo.core.plugin"})


MISTAKES: list[tuple[str, Callable[[], type[Dataset]], str]] = [
    ("metadata", lambda: type("Blank", (Good,), {"source": " ", "__module__": "ganzoo.core.plugin"}), "source is ' '"),
    ("on_disk", lambda: Vague, "on_disk returns 'perhaps'"),
    ("on_disk", lambda: Slow, "on_disk takes 0."),
    ("values", lambda: altered(images=lambda data: data.images // 255), "no value is above 1"),
    ("values", lambda: altered(images=lambda data: np.full_like(data.images, 7)), "40 examples are identical"),
    ("values", lambda: ChannelsLast, "images have 24 channels of 40x2 pixels"),
    ("values", lambda: Missing, ': return np.load("/no/such/file.npz"))'),
    ("values", lambda: Points, "load returns ImageData, but the card says kind='points'"),
    ("labels", lambda: altered(class_names=("a", "b", "never seen")), "no examples of the class never seen"),
    ("labels", lambda: altered(class_names=("a", "a")), "class_names are ('a', 'a')"),
    ("labels", lambda: altered(labels=None), "there are no labels, but 2 class names"),
    ("pairs", lambda: SaysPairs, "the card says paired=True, but the images have paired=False"),
    ("pairs", lambda: altered(corrupt=lambda data: noisy), "the card says paired=False, but the images have paired=Tr"),
    ("pairs", lambda: altered_pairs(corrupt=lambda data: noisy), "inputs differ when computed twice"),
    ("pairs", lambda: altered_pairs(corrupt=lambda data: lambda images, rng: images), "inputs equal the images"),
    ("repeatable", lambda: altered(labels=random_labels), "label differs when loaded twice"),
    ("repeatable", lambda: altered(images=random_images), "values differ when loaded twice"),
    ("identity", lambda: altered(sha256="0" * 64), "sha256 is '000"),
    ("image_size", lambda: IgnoresSize, "with image_size=16 the spec is 1x8x8 images"),
    ("splits", lambda: altered(split="train"), "the data loaded for split='test' have split='train'"),
    ("splits", lambda: OneSplit, "the test data equal the training data"),
    ("splits", lambda: FewerClasses, "the test data are 1x8x8 images, but"),
    ("wrong_argument", lambda: AnyPath, "/no/such/place is accepted"),
    ("wrong_argument", lambda: NamelessRefusal, "the error for /no/such/place does not contain it"),
]


def outcome(card: type[Dataset], name: str) -> Any:
    return run(next(check for check in checks_of(DATASET, DatasetFixture(card()), {}) if check.name == name))


@pytest.mark.parametrize(("name", "card", "problem"), MISTAKES)
def test_each_mistake_is_found(name: str, card: Callable[[], type[Dataset]], problem: str) -> None:
    result = outcome(card(), name)
    assert result.status == "failed"
    assert problem in result.error.problem
    assert "\nChange: " in str(result.error)


@pytest.mark.parametrize("rule", DATASET, ids=lambda rule: rule.name)
def test_a_correct_data_set_passes(rule: Any) -> None:
    result = outcome(Good, rule.name)
    assert result.status == "ok", result.error


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="No data set is called"):
        dataset_checks("nothing")
