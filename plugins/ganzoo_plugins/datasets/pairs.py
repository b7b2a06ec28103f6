"""Pairs of image files: `pairs:PATH`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.errors import DataError, UsageError
from ganzoo.plugin import DataLocation, Dataset, Split
from ganzoo_plugins.datasets import pictures
from ganzoo_plugins.datasets.pictures import Picture

if TYPE_CHECKING:
    from ganzoo.data.images import ImageData

SIDES = ("inputs", "targets")


class Pairs(Dataset):
    """Pairs are files with the same name, except for the ending, in the folders `inputs` and `targets`.

    These are in PATH, or in its sub-folders `train` and `test`. Images are grey if all files store grey pixels,
    otherwise RGB.
    """

    api_version = 1
    summary = "your own pairs: files with the same name in the folders inputs and targets"
    source = "yours"
    argument = "PATH"
    paired = True

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        from ganzoo.data.images import ImageData

        if not argument:
            raise UsageError("Data set 'pairs' needs its PATH: write pairs:PATH.")
        images = listing(Path(os.path.expanduser(argument)), split)
        stored = pictures.load(images, image_size or pictures.DEFAULT_SIZE, where.cache / "pairs")
        channels = stored.images.shape[1] // 2
        inputs, targets = stored.images[:, :channels], stored.images[:, channels:]
        return ImageData(targets, None, (), f"pairs:{argument}", split, stored.sha256, stored.notes, inputs)


def listing(root: Path, split: Split) -> list[Picture]:
    """The pairs of `split` below `root`, sorted by name; raises `DataError` if there are none or one is incomplete."""
    root, _ = pictures.split_folder(root, split)
    sides = []
    for side in SIDES:
        if not (root / side).is_dir():
            raise DataError(f"{root} has no folder {side!r}; pairs are files in the folders {' and '.join(SIDES)}.")
        names = pictures.scan(root / side)
        files = {os.path.splitext(name)[0]: root / side / name for name in names}
        if len(files) < len(names):
            duplicates = [name for name in names if files[os.path.splitext(name)[0]] != root / side / name]
            raise DataError(
                f"{root / side} has images that differ only in the ending: {pictures.first_names(duplicates)}."
            )
        sides.append(files)
    inputs, targets = sides
    unpaired = sorted(inputs.keys() ^ targets.keys())
    if unpaired:
        raise DataError(f"{root} has images in only one of {' and '.join(SIDES)}: {pictures.first_names(unpaired)}.")
    if not inputs:
        raise DataError(f"{root} contains no pairs of images (files with endings such as .png, .jpg, .webp).")
    return [Picture(name, (inputs[name], targets[name])) for name in sorted(inputs)]
