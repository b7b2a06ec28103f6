"""A folder or zip archive of images: `folder:PATH`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ganzoo.errors import DataError
from ganzoo.plugin import DataLocation, Dataset, Split
from ganzoo_plugins.datasets import files, options, pictures
from ganzoo_plugins.datasets.files import LABELS_FILE, Listing, UserFile

if TYPE_CHECKING:
    from ganzoo.data.images import ImageData


class Folder(Dataset):
    """Images in PATH, or in sub-folders, which are classes, or with labels in dataset.json.

    Folders `train` and `test` (or `val`), if present, are the splits.
    """

    api_version = 2
    summary = "your own images, a folder or zip; sub-folders are classes, folders train and test are splits"
    source = "yours"
    argument = "PATH"

    def absolute(self, argument: str) -> str:
        return options.absolute(argument)

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        from ganzoo.data.images import ImageData
        from ganzoo_plugins.datasets.pixels import endings

        chosen, path = options.parse("folder", argument, {**options.OF_IMAGES, "stream": "yes or no"})
        size, form = options.image_form("folder", chosen, image_size)
        listed = files.listing(path)
        parts = files.split_files(listed, split)
        images, notes = files.only(parts.files, endings())
        train, _ = files.only(parts.train, endings())
        if not images:
            raise DataError(f"{parts.folder} contains no images (files with endings such as .png, .jpg, .webp).")
        known = labels_file(listed)
        if known is None:
            labels, names = files.classes_of(images, train, parts.folder)
        else:
            labels, names = _labels(images, listed, known)
        stream = options.yes_or_no("folder", "stream", chosen)
        stored = pictures.load(
            images, labels, train, where.cache / "folder", f"folder:{path}", size, **form, stream=stream
        )
        unknown = 0 if labels is None or stored.labels is None else int((stored.labels < 0).sum())
        if unknown:
            notes.append(f"{unknown} images are of no class of the training images, so their labels are unknown")
        return ImageData(
            stored.values, stored.labels, tuple(names) if stored.labels is not None else (), f"folder:{argument}",
            split, stored.sha256, (*parts.notes, *notes, *stored.notes),
        )  # fmt: skip


def labels_file(listed: Listing) -> dict[str, int] | None:
    """The labels in dataset.json by file name, empty if it has none; None without the file. DataError if damaged."""
    file = next((file for file in listed.files if file.name == LABELS_FILE), None)
    if file is None:
        return None
    try:
        with file.open() as stream:
            entries = json.load(stream)["labels"] or []
        labels = {str(name).replace("\\", "/"): label for name, label in entries}
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as failure:
        raise DataError(
            f'{listed.place}: {LABELS_FILE} cannot be used ({failure}); expected {{"labels": [["NAME", 0], ...]}}.'
        ) from None
    if not all(type(label) is int and 0 <= label < 1 << 20 for label in labels.values()):
        raise DataError(f"{listed.place}: the labels in {LABELS_FILE} must be whole numbers from 0.")
    return labels


def _labels(images: list[UserFile], listed: Listing, known: dict[str, int]) -> tuple[list[int] | None, list[str]]:
    """The label of each image, -1 if the file names none, and class names by number; none if the file has no labels."""
    if not known:
        return None, []
    prefixes = ["", *(f"{folder}/" for folder in listed.folders)]  # names may count from above a split's folder
    labels = [next((known[p + file.name] for p in prefixes if p + file.name in known), -1) for file in images]
    if max(labels) < 0:
        raise DataError(f"{listed.place}: {LABELS_FILE} names none of the images, such as {images[0].name}.")
    return labels, [str(number) for number in range(max(known.values()) + 1)]
