"""Two small runs on digits, made once, and a cache of judges that is not the user's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import ganzoo
from ganzoo.evaluation import feature_extractor as judge


@pytest.fixture(scope="package", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache, for these tests, with judges that learn for a short time."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(judge, "MOST_EPOCHS", 8)
        patch.setattr(judge, "LEAST_STEPS", 1)
        yield folder


@pytest.fixture(scope="package")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """The folder of the runs cgan and vanilla."""
    folder = tmp_path_factory.mktemp("runs")
    ganzoo.train("cgan", dataset="digits", steps=60, out=folder / "cgan")
    ganzoo.train("vanilla", dataset="digits", steps=60, out=folder / "vanilla", image_size=16, batch_size=32)
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of the runs to write to."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))
