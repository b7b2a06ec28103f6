"""The user's image files: listed, decoded once into the cache, and mapped from there without using memory."""

from __future__ import annotations

import difflib
import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.errors import DataError, SplitError
from ganzoo.plugin import Split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ganzoo.data.cache import CachedImages

DEFAULT_SIZE = 64
FORMAT = 2
MAX_NAMES = 3
"""Number of files that a message names."""


@dataclass(frozen=True)
class Picture:
    """One image with its name, class and file, or two files whose channels are concatenated."""

    name: str
    files: tuple[Path, ...]
    label: int | None = None


def split_folder(root: Path, split: Split) -> tuple[Path, list[Path]]:
    """The folder of `split`, and those of all splits: `train` and `test` in `root`, or `root` itself for training."""
    _check_exists(root)
    if (root / "train").is_dir() and (root / "test").is_dir():
        return root / split, [root / "train", root / "test"]
    if split == "train":
        return root, [root]
    raise SplitError(f"{root} has no test images: put them into a sub-folder test, and the others into train.")


def _check_exists(root: Path) -> None:
    if root.is_file():
        raise DataError(f"{root} is a file; expected a folder of images.")
    if root.is_dir():
        return
    parent = root.parent
    siblings = [entry.name for entry in parent.iterdir() if entry.is_dir()] if parent.is_dir() else []
    close = difflib.get_close_matches(root.name, siblings, n=1, cutoff=0.5)
    raise DataError(f"The folder {root} does not exist." + (f" Did you mean {parent / close[0]}?" if close else ""))


def scan(root: Path) -> list[str]:
    """Relative names of the image files below `root`, sorted; follows links, ignores hidden files and folders."""
    from ganzoo_plugins.datasets.pixels import extensions

    endings = extensions()
    names = []
    visited = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link to a parent would never end
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in files:
            path = os.path.join(folder, name)
            if not name.startswith(".") and Path(name).suffix.lower() in endings and os.path.isfile(path):
                names.append(os.path.relpath(path, root))
    return sorted(names)


def load(pictures: Sequence[Picture], size: int, cache: Path) -> CachedImages:
    """Decode the readable `pictures` into `cache`, unless they are there; grey if all files are grey, else RGB."""
    from ganzoo.data.cache import read_images, write_images

    home = cache / _key(pictures, size)
    stored = read_images(home)
    if stored is None:
        notes: list[str] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns about many files that it can read
            grey = all(_is_grey(file) for picture in pictures for file in picture.files)
            channels = (1 if grey else 3) * len(pictures[0].files)
            stored = write_images(home, _rows(pictures, size, grey, notes), (channels, size, size), notes)
    return stored


def _key(pictures: Sequence[Picture], size: int) -> str:
    digest = hashlib.sha256(f"{FORMAT} {size}".encode())
    for picture in pictures:
        digest.update(os.fsencode(picture.name) + f"\0{picture.label}".encode())
        for file in picture.files:
            stat = file.stat()
            digest.update(f" {stat.st_size} {stat.st_mtime_ns}".encode())
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _is_grey(file: Path) -> bool:
    from ganzoo_plugins.datasets.pixels import is_grey

    try:
        return is_grey(file)
    except Exception:  # decoders may raise anything on damaged files; `_rows` reports them
        return True


def _rows(
    pictures: Sequence[Picture], size: int, grey: bool, notes: list[str]
) -> Iterator[tuple[npt.NDArray[np.uint8], int | None]]:
    """Yield pixels and label of every readable picture; then add to `notes` which were skipped, and why."""
    from ganzoo_plugins.datasets.pixels import read

    skipped = []
    for picture in pictures:
        try:
            pixels = read(picture.files, size, grey)
        except Exception as error:  # decoders may raise anything on damaged files
            reason = "cannot identify image" if type(error).__name__ == "UnidentifiedImageError" else str(error)
            skipped.append(f"{printable(picture.name)} ({reason or type(error).__name__})")
            continue
        yield pixels, picture.label
    if len(skipped) == len(pictures):
        raise DataError(f"None of the {len(pictures)} image files can be read: {first_names(skipped)}.")
    if skipped:
        notes.append(f"{len(skipped)} of {len(pictures)} files skipped: {first_names(skipped)}")


def first_names(names: Sequence[str]) -> str:
    """The first file names, and the number of the others, for a message."""
    return ", ".join(map(printable, names[:MAX_NAMES])) + (
        f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    )


def printable(name: str) -> str:
    """The file name with bytes that are not UTF-8 replaced."""
    return os.fsencode(name).decode("utf-8", "replace")
