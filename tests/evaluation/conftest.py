"""Two small runs on digits, trained once, and a temporary cache of classifiers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import ganzoo
from ganzoo.evaluation import feature_extractor
from ganzoo.evaluation.metrics import swd


@pytest.fixture(scope="package", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary user cache; classifiers are trained briefly, and distances are measured along few directions."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(feature_extractor, "MAX_EPOCHS", 8)
        patch.setattr(feature_extractor, "MIN_STEPS", 1)
        patch.setattr(swd, "DIRECTIONS", 64)
        yield folder


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The folder with the runs cgan and vanilla."""
    folder = tmp_path_factory.mktemp("runs")
    ganzoo.train("cgan", dataset="digits", steps=60, out=folder / "cgan")
    ganzoo.train("vanilla", dataset="digits", steps=60, out=folder / "vanilla", image_size=16, batch_size=32)
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of the runs that a test may modify."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))
