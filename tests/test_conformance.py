"""Every installed plugin passes the conformance kit."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganzoo.core import registry
from ganzoo.core.spec import DataLocation
from ganzoo.testing import Check, check_dataset, parametrize_checks
from tests.test_architectures import SIBLINGS

ARCHITECTURES = [entry.name for entry in registry.architectures() if entry.error is None and entry.name not in SIBLINGS]
DATASETS = [
    entry.name
    for entry in registry.datasets()
    if entry.error is None and entry.card.argument is None and entry.card.on_disk(DataLocation.find())
]


@parametrize_checks(*ARCHITECTURES, datasets=DATASETS)
def test_conformance(check: Check) -> None:
    check()


@pytest.mark.slow
@parametrize_checks(*SIBLINGS)
def test_conformance_of_siblings(check: Check) -> None:
    check()


@parametrize_checks(datasets=["mosaic:digits", "blur:3:digits", "mask:digits"])
def test_conformance_of_pairs(check: Check) -> None:
    check()


@parametrize_checks("cgan", networks="mlp")
def test_conformance_of_the_perceptrons(check: Check) -> None:
    check()


def test_conformance_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    from PIL import Image

    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cats", "dogs"):
            folder = tmp_path / "pictures" / split / name
            folder.mkdir(parents=True)
            for number in range(3):
                Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / f"{number}.png")
    check_dataset(f"folder:{tmp_path / 'pictures'}")
