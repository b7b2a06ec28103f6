"""The user's own pictures: `folder:PATH`."""

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
    """Sub-folders are classes, images next to each other have none; `train` and `test` folders are the splits.

    Images are grey where every file stores grey pixels, else RGB.
    """

    api_version = 1
    summary = "your own images; sub-folders are classes, folders train and test are splits"
    source = "yours"
    argument = "PATH"

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        from ganzoo.data.images import ImageData

        if not argument:
            raise UsageError("Data set 'folder' needs its PATH: write folder:PATH.")
        found, class_names = listing(Path(os.path.expanduser(argument)), split)
        stored = pictures.load(found, image_size or pictures.DEFAULT_SIZE, where.cache / "folder")
        names = class_names if stored.labels is not None else ()
        return ImageData(stored.images, stored.labels, names, f"folder:{argument}", split, stored.sha256, stored.notes)


def listing(root: Path, split: Split) -> tuple[list[Picture], tuple[str, ...]]:
    """The image files of `split` below `root`, sorted by name, and the classes. `DataError` where there are none."""
    root, parts = pictures.split_folder(root, split)
    found = {part: pictures.scan(part) for part in parts}
    files = found[root]
    if not files:
        raise DataError(f"{root} holds no images (files that end like .png, .jpg, .webp).")
    classes = sorted({name.split(os.sep)[0] for names in found.values() for name in names if os.sep in name})
    loose = [name for name in files if os.sep not in name]
    if loose and len(loose) < len(files):
        raise DataError(
            f"{root} holds images both in sub-folders, which are classes, and beside them: {pictures.some(loose)}. "
            "Move these into a sub-folder or away."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    labels = [None if loose else numbers[name.split(os.sep)[0]] for name in files]
    return (
        [Picture(name, (root / name,), label) for name, label in zip(files, labels)],
        tuple(map(pictures.printable, classes)),
    )
