from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataSpec
from ganzoo.data.images import ImageData, resize, sha256_of


def data(**changes: Any) -> ImageData:
    values: dict[str, Any] = {
        "images": np.zeros((4, 3, 8, 8), np.uint8),
        "labels": np.array([0, 1, 1, 0]),
        "class_names": ("cat", "dog"),
        "name": "pets",
        "split": "train",
        "sha256": "0" * 64,
    }
    return ImageData(**(values | changes))


def test_spec() -> None:
    assert data().spec == DataSpec(channels=3, size=8, classes=2)
    assert data(labels=None, class_names=()).spec == DataSpec(channels=3, size=8, classes=0)
    assert data(inputs=np.zeros((4, 1, 8, 8), np.uint8)).spec == DataSpec(channels=3, size=8, classes=2, inputs=1)
    assert data(corrupt=lambda images, _: images[:, :2]).spec == DataSpec(channels=3, size=8, classes=2, inputs=2)
    assert len(data()) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((4, 3, 8, 8), np.float32)}, "expected uint8 or uint16 images .* float32"),
        ({"images": np.zeros((4, 8, 8), np.uint8)}, r"\[4, 8, 8\]"),
        ({"images": np.zeros((0, 3, 8, 8), np.uint8), "labels": None}, r"\[0, 3, 8, 8\]"),
        ({"inputs": np.zeros((3, 1, 8, 8), np.uint8)}, "differ in length: target 4, label 4, input 3"),
        ({"inputs": np.zeros((4, 1, 8, 8), np.int8)}, r"input: .* got int8 \[4, 1, 8, 8\]"),
        ({"inputs": np.zeros((4, 1, 8, 8), np.uint8), "corrupt": lambda x, _: x}, "stored or computed"),
        ({"labels": np.zeros(3, np.int64)}, "target 4, label 3"),
        ({"labels": np.zeros(4, np.int32)}, "int32"),
        ({"labels": np.array([0, 1, 2, 0])}, "from 0 to 2, but there are 2 classes"),
        ({"labels": np.array([0, -2, 1, 0])}, "from -2"),
    ],
)
def test_other_forms_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"pets: .*{message}"):
        data(**changes)


def test_resize_keeps_what_fits_and_averages_what_shrinks() -> None:
    images = np.zeros((2, 1, 4, 4), np.uint8)
    images[:, :, ::2] = 200
    assert resize(images, 4) is images
    assert resize(images, 1).tolist() == [[[[100]]]] * 2
    assert resize(images, 9).shape == (2, 1, 9, 9)


def test_resize_is_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 3, 9, 9), dtype=np.uint8)
    images.flags.writeable = False
    whole = resize(images, 5)
    monkeypatch.setattr("ganzoo.data.images.CHUNK_PIXELS", 500)
    assert np.array_equal(resize(images, 5), whole)
    assert whole.dtype == np.uint8


def test_sha256_depends_on_values_shape_and_labels_only(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.arange(96, dtype=np.uint8).reshape(6, 1, 4, 4)
    labels = np.arange(6)
    identity = sha256_of(images, labels)
    other = images.copy()
    other[5, 0, 3, 3] += 1
    different = [
        sha256_of(other, labels),
        sha256_of(images, labels[::-1]),
        sha256_of(images, None),
        sha256_of(images.reshape(2, 3, 4, 4), None),
    ]
    assert len({identity, *different}) == 5
    monkeypatch.setattr("ganzoo.data.images.CHUNK_PIXELS", 32)
    assert sha256_of(np.asfortranarray(images), labels) == identity
