"""Image files for the tests of `folder:`."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ganzoo_plugins.datasets.folder import Folder
from PIL import Image

from ganzoo.core.spec import DataLocation, Split
from ganzoo.data.images import ImageData

RED, GREEN = (255, 0, 0), (0, 255, 0)


def draw(
    path: Path, mode: str = "RGB", colour: object = RED, size: tuple[int, int] = (12, 12), **options: object
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)  # type: ignore[arg-type]
    return path


def load(where: DataLocation, root: Path, split: Split = "train", image_size: int | None = 8) -> ImageData:
    return Folder().load(where, split, image_size, str(root))


def archive(path: Path, root: Path, folder: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in sorted(root.rglob("*")):
            if name.is_file():
                file.write(name, f"{folder}{name.relative_to(root)}")
    return path
