"""Every check of a data set finds the mistake it is there for."""

from __future__ import annotations

import dataclasses
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
from ganzoo.testing.datasets import DataSubject
from ganzoo.testing.kit import checks_of


class Good(Dataset):
    """Forty images of noise in two classes, right in every respect."""

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
    """Good, with values of its ImageData replaced; functions receive the ImageData."""

    class Altered(Good):
        __module__ = "ganzoo.core.plugin"

        def load(self, *arguments: Any) -> ImageData:
            data = super().load(*arguments)
            new = {name: value(data) if callable(value) else value for name, value in changes.items()}
            return dataclasses.replace(data, **new)

    return Altered


class SlowToSay(Good):
    def on_disk(self, where: Any) -> Any:
        return "perhaps"


class DeafToSize(Good):
    def load(self, where: Any, split: Any, image_size: int | None, argument: str | None) -> ImageData:
        return super().load(where, split, None, argument)


class OneSplit(Good):
    def load(self, where: Any, split: Any, image_size: int | None, argument: str | None) -> ImageData:
        return dataclasses.replace(super().load(where, "train", image_size, argument), split=split)


class AnyPath(Good):
    argument = "PATH"


class NamelessRefusal(AnyPath):
    def load(self, *arguments: Any) -> ImageData:
        raise UsageError("no")


class SaysPairs(Good):
    paired = True


class Points(Good):
    kind = "points"


def random_labels(data: ImageData) -> Any:
    return np.random.default_rng().permutation(data.labels)


def noisy(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    return torch.randint_like(images, 256)


MISTAKES: list[tuple[str, Callable[[], type[Dataset]]]] = [
    ("metadata", lambda: type("Blank", (Good,), {"source": " ", "__module__": "ganzoo.core.plugin"})),
    ("on_disk", lambda: SlowToSay),
    ("values", lambda: altered(images=lambda data: data.images // 255)),
    ("values", lambda: altered(images=lambda data: np.full_like(data.images, 7))),
    ("values", lambda: Points),
    ("labels", lambda: altered(class_names=("a", "b", "never seen"))),
    ("labels", lambda: altered(class_names=("a", "a"))),
    ("labels", lambda: altered(labels=None)),
    ("pairs", lambda: SaysPairs),
    ("pairs", lambda: altered(corrupt=lambda data: noisy)),
    ("repeatable", lambda: altered(labels=random_labels)),
    ("identity", lambda: altered(sha256="0" * 64)),
    ("image_size", lambda: DeafToSize),
    ("splits", lambda: altered(split="train")),
    ("splits", lambda: OneSplit),
    ("wrong_argument", lambda: AnyPath),
    ("wrong_argument", lambda: NamelessRefusal),
]


def outcome(card: type[Dataset], name: str) -> Any:
    return run(next(check for check in checks_of(DATASET, DataSubject(card()), {}) if check.name == name))


@pytest.mark.parametrize(("name", "card"), MISTAKES)
def test_each_mistake_is_found(name: str, card: Callable[[], type[Dataset]]) -> None:
    result = outcome(card(), name)
    assert result.status == "failed"
    assert "\nChange: " in str(result.error)


@pytest.mark.parametrize("rule", DATASET, ids=lambda rule: rule.name)
def test_what_is_right_passes(rule: Any) -> None:
    result = outcome(Good, rule.name)
    assert result.status == "ok", result.error


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="No data set is called"):
        dataset_checks("nothing")
