from __future__ import annotations

import numpy as np
from ganzoo_plugins.datasets.digits import Digits

from ganzoo.core.spec import DataLocation, DataSpec


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
