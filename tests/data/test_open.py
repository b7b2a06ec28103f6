from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ganzoo.data
from ganzoo.core.errors import UsageError
from ganzoo.core.plugin import Dataset
from ganzoo.core.spec import DataLocation, Split
from ganzoo.data.images import ImageData

MODULES = ["idx", "cifar10", "digits", "folder", "pairs", "corruptions"]


class Recorder(Dataset):
    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        self.arguments: list[object] = [where.given, split, image_size, argument]
        return ImageData(np.zeros((1, 1, 2, 2), np.uint8), None, (), "recorder", split, "")


def test_open_passes_its_arguments_to_the_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = Recorder()
    monkeypatch.setattr("ganzoo.core.registry.get_dataset", lambda name: (card, name.partition(":")[2] or None))
    assert ganzoo.data.open("folder:x", split="test", image_size=8, data_dir=tmp_path).name == "recorder"
    assert card.arguments == [tmp_path, "test", 8, "x"]
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path / "y"))
    ganzoo.data.open("mnist")
    assert card.arguments[0] == tmp_path / "y"
    assert card.arguments[1:] == ["train", None, None]


def test_open_refuses_unknown_splits_and_sizes() -> None:
    with pytest.raises(UsageError, match="Did you mean test"):
        ganzoo.data.open("mnist", split="tset")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="image_size=0"):
        ganzoo.data.open("mnist", image_size=0)


def test_importing_is_cheap() -> None:
    names = ", ".join(["ganzoo.data", *(f"ganzoo_plugins.datasets.{module}" for module in MODULES)])
    code = f"import sys, {names}; print({{'numpy', 'torch', 'PIL', 'sklearn', 'pooch'}} & set(sys.modules))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "set()"


def test_image_data_is_reexported_lazily() -> None:
    assert ganzoo.data.ImageData is ImageData
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ganzoo.data.nonsense
