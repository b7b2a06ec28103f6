from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ganzoo_plugins.datasets.digits import Digits
from sklearn.datasets import load_digits

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataLocation, DataSpec
from ganzoo.data.digits import scikit_learn_digits


def test_two_fixed_splits_of_all_digits(where: DataLocation) -> None:
    train, test = (Digits().load(where, split, None, None) for split in ("train", "test"))
    assert train.spec == test.spec == DataSpec(channels=1, size=8, classes=10)
    assert (len(train), len(test)) == (1442, 355)
    assert f"{len(train):,} + {len(test)}" in Digits.summary
    assert train.images.max() == 255
    for data in (train, test):
        assert data.labels is not None
        counts = np.bincount(data.labels)
        assert counts.min() > 0.95 * counts.max() - 1
    assert train.sha256 == Digits().load(where, "train", None, None).sha256 != test.sha256
    assert not where.cache.exists()
    assert Digits().on_disk(where)


def test_the_splits_share_no_image(where: DataLocation) -> None:
    train, test = ({i.tobytes() for i in Digits().load(where, s, None, None).images} for s in ("train", "test"))
    assert not train & test


def test_resized(where: DataLocation) -> None:
    assert Digits().load(where, "test", 16, None).images.shape == (355, 1, 16, 16)


def test_they_are_those_of_scikit_learn_wherever_it_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    bunch, file = load_digits(), scikit_learn_digits()
    monkeypatch.setattr(Path, "exists", lambda _: False)
    for images, labels in (file, scikit_learn_digits()):
        np.testing.assert_array_equal(images[:, 0], np.round(bunch.images * (255 / 16)).astype(np.uint8))
        np.testing.assert_array_equal(labels, bunch.target)


def test_without_scikit_learn_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        scikit_learn_digits()


def test_loading_a_model_and_digits_imports_neither_the_tracer_of_torch_compile_nor_scikit_learn() -> None:
    code = """
import sys, ganzoo, ganzoo.data
ganzoo.data.open("digits")
ganzoo.load("cgan-mnist").sample(1, seed=0)
print({"sklearn", "scipy", "sympy", "torch._dynamo"} & set(sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
