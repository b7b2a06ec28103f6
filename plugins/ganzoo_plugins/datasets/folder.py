"""The user's own pictures: `folder:PATH`. Decoded once into the cache, then mapped from there: they need no memory."""

from __future__ import annotations

import difflib
import hashlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.errors import DataError, SplitError, UsageError
from ganzoo.plugin import DataLocation, Dataset, Split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ganzoo.data.images import ImageData

DEFAULT_SIZE = 64
FORMAT = 1
NAMED = 3
"""How many files a message names before it says how many more there are."""


@dataclass(frozen=True)
class Picture:
    """One image file: its path, relative to the folder and real, and its class."""

    name: str
    path: Path
    label: int | None


class Folder(Dataset):
    """Sub-folders are classes, images next to each other have none; `train` and `test` folders are the splits.

    Images are grey where every file stores grey pixels, else RGB.
    """

    api_version = 1
    summary = "your own images; sub-folders are classes, folders train and test are splits"
    source = "yours"
    argument = "PATH"

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        from ganzoo.data.cache import read_images, write_images
        from ganzoo.data.images import ImageData

        if not argument:
            raise UsageError("Data set 'folder' needs its PATH: write folder:PATH.")
        size = image_size or DEFAULT_SIZE
        pictures, class_names = listing(Path(os.path.expanduser(argument)), split)
        home = where.cache / "folder" / _key(pictures, size)
        stored = read_images(home)
        if stored is None:
            notes: list[str] = []
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PIL grumbles about much that it can read
                grey = all(map(_is_grey, pictures))
                stored = write_images(home, _rows(pictures, size, grey, notes), (1 if grey else 3, size, size), notes)
        names = class_names if stored.labels is not None else ()
        return ImageData(stored.images, stored.labels, names, f"folder:{argument}", split, stored.sha256, stored.notes)


def listing(root: Path, split: Split) -> tuple[list[Picture], tuple[str, ...]]:
    """The image files of `split` below `root`, sorted by name, and the classes. `DataError` where there are none."""
    _check_exists(root)
    if (root / "train").is_dir() and (root / "test").is_dir():
        found = {part: _scan(root / part) for part in ("train", "test")}
        root = root / split
    elif split == "train":
        found = {"train": _scan(root)}
    else:
        raise SplitError(f"{root} has no test images: they go into a sub-folder test, the others into train.")
    files = found[split]
    if not files:
        raise DataError(f"{root} holds no images (files that end like .png, .jpg, .webp).")
    classes = sorted({name.split(os.sep)[0] for names in found.values() for name in names if os.sep in name})
    loose = [name for name in files if os.sep not in name]
    if loose and len(loose) < len(files):
        raise DataError(
            f"{root} holds images both in sub-folders, which are classes, and beside them: {_some(loose)}. "
            "Move these into a sub-folder or away."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    pictures = [Picture(name, root / name, None if loose else numbers[name.split(os.sep)[0]]) for name in files]
    return pictures, tuple(map(_text, classes))


def _check_exists(root: Path) -> None:
    if root.is_file():
        raise DataError(f"{root} is a file; expected a folder of images.")
    if root.is_dir():
        return
    parent = root.parent
    siblings = [entry.name for entry in parent.iterdir() if entry.is_dir()] if parent.is_dir() else []
    close = difflib.get_close_matches(root.name, siblings, n=1, cutoff=0.5)
    raise DataError(f"The folder {root} does not exist." + (f" Did you mean {parent / close[0]}?" if close else ""))


def _scan(root: Path) -> list[str]:
    """Relative names of the image files below `root`, sorted. Links are followed, hidden files and folders ignored."""
    from ganzoo_plugins.datasets.pixels import extensions

    endings = extensions()
    names = []
    entered = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:  # a link back up would never end
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in files:
            path = os.path.join(folder, name)
            if not name.startswith(".") and Path(name).suffix.lower() in endings and os.path.isfile(path):
                names.append(os.path.relpath(path, root))
    return sorted(names)


def _key(pictures: list[Picture], size: int) -> str:
    digest = hashlib.sha256(f"{FORMAT} {size}".encode())
    for picture in pictures:
        stat = picture.path.stat()
        digest.update(os.fsencode(picture.name) + f"\0{picture.label} {stat.st_size} {stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:32]


def _is_grey(picture: Picture) -> bool:
    from ganzoo_plugins.datasets.pixels import is_grey

    try:
        return is_grey(picture.path)
    except Exception:  # decoders raise anything on damaged bytes; such a file has no say, `_rows` names it
        return True


def _rows(
    pictures: list[Picture], size: int, grey: bool, notes: list[str]
) -> Iterator[tuple[npt.NDArray[np.uint8], int | None]]:
    """The pixels and labels of all readable pictures; at the end, what was skipped and why goes into `notes`."""
    from ganzoo_plugins.datasets.pixels import read

    skipped = []
    for picture in pictures:
        try:
            pixels = read(picture.path, size, grey)
        except Exception as why:  # decoders raise anything on damaged bytes; the file is skipped and the reason kept
            reason = "cannot identify image" if type(why).__name__ == "UnidentifiedImageError" else str(why)
            skipped.append(f"{_text(picture.name)} ({reason or type(why).__name__})")
            continue
        yield pixels, picture.label
    if len(skipped) == len(pictures):
        raise DataError(f"None of the {len(pictures)} image files can be read: {_some(skipped)}.")
    if skipped:
        notes.append(f"{len(skipped)} of {len(pictures)} files skipped: {_some(skipped)}")


def _some(names: list[str]) -> str:
    return ", ".join(map(_text, names[:NAMED])) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _text(name: str) -> str:
    """A file name, which may hold bytes that are no text, as something that can be printed."""
    return os.fsencode(name).decode("utf-8", "replace")
