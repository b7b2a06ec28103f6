"""The user's own pairs of pictures: `pairs:PATH`."""

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
    """The two images of a pair have one name, but for the ending, in the folders `inputs` and `targets`.

    These lie in PATH, or in its sub-folders `train` and `test`. All images are grey where every file stores grey
    pixels, else RGB.
    """

    api_version = 1
    summary = "your own pairs: files of one name in the folders inputs and targets"
    source = "yours"
    argument = "PATH"
    paired = True

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        from ganzoo.data.images import ImageData

        if not argument:
            raise UsageError("Data set 'pairs' needs its PATH: write pairs:PATH.")
        found = listing(Path(os.path.expanduser(argument)), split)
        stored = pictures.load(found, image_size or pictures.DEFAULT_SIZE, where.cache / "pairs")
        channels = stored.images.shape[1] // 2
        inputs, targets = stored.images[:, :channels], stored.images[:, channels:]
        return ImageData(targets, None, (), f"pairs:{argument}", split, stored.sha256, stored.notes, inputs)


def listing(root: Path, split: Split) -> list[Picture]:
    """The pairs of `split` below `root`, sorted by name. `DataError` where an image is alone, or there is none."""
    root, _ = pictures.split_folder(root, split)
    found = []
    for side in SIDES:
        if not (root / side).is_dir():
            raise DataError(f"{root} has no folder {side!r}; the images of a pair lie in {' and '.join(SIDES)}.")
        names = pictures.scan(root / side)
        files = {os.path.splitext(name)[0]: root / side / name for name in names}
        if len(files) < len(names):
            doubles = [name for name in names if files[os.path.splitext(name)[0]] != root / side / name]
            raise DataError(f"{root / side} holds two images of one name but for the ending: {pictures.some(doubles)}.")
        found.append(files)
    inputs, targets = found
    alone = sorted(inputs.keys() ^ targets.keys())
    if alone:
        raise DataError(f"{root} has images in one of {' and '.join(SIDES)} only: {pictures.some(alone)}.")
    if not inputs:
        raise DataError(f"{root} holds no pairs of images (files that end like .png, .jpg, .webp).")
    return [Picture(name, (inputs[name], targets[name])) for name in sorted(inputs)]
