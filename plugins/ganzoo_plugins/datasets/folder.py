"""A folder of images: `folder:PATH`."""

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


class Folder(Dataset):
    """Images in PATH, or in sub-folders, which are classes; the folders `train` and `test`, if present, are the splits.

    Images are grey if all files store grey pixels, otherwise RGB.
    """

    api_version = 1
    summary = "your own images; sub-folders are classes, folders train and test are splits"
    source = "yours"
    argument = "PATH"

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        from ganzoo.data.images import ImageData

        if not argument:
            raise UsageError("Data set 'folder' needs its PATH: write folder:PATH.")
        images, class_names = listing(Path(os.path.expanduser(argument)), split)
        stored = pictures.load(images, image_size or pictures.DEFAULT_SIZE, where.cache / "folder")
        names = class_names if stored.labels is not None else ()
        return ImageData(stored.images, stored.labels, names, f"folder:{argument}", split, stored.sha256, stored.notes)


def listing(root: Path, split: Split) -> tuple[list[Picture], tuple[str, ...]]:
    """The image files of `split` below `root`, sorted by name, and the classes; `DataError` if there are none."""
    root, parts = pictures.split_folder(root, split)
    names_by_part = {part: pictures.scan(part) for part in parts}
    files = names_by_part[root]
    if not files:
        raise DataError(f"{root} contains no images (files with endings such as .png, .jpg, .webp).")
    classes = sorted({name.split(os.sep)[0] for names in names_by_part.values() for name in names if os.sep in name})
    loose = [name for name in files if os.sep not in name]
    if loose and len(loose) < len(files):
        raise DataError(
            f"{root} has images both in sub-folders, which are classes, and outside: {pictures.first_names(loose)}. "
            "Move these into a sub-folder or out of the folder."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    labels = [None if loose else numbers[name.split(os.sep)[0]] for name in files]
    return (
        [Picture(name, (root / name,), label) for name, label in zip(files, labels)],
        tuple(map(pictures.printable, classes)),
    )
