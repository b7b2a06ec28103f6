"""The cache: what is written there appears complete or not at all, and is checked when it is read back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ganzoo.core.errors import DataError
from ganzoo.data.images import sha256_of

FORMAT = 1
STALE_SECONDS = 7 * 24 * 3600


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new empty directory inside `folder`, removed at the end. Rename what is complete out of it.

    What processes killed a week ago left behind is removed on the way. Raises `DataError` where writing fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(".partial-*"):
            with contextlib.suppress(OSError):  # another process may be sweeping, too
                if time.time() - old.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder, ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as why:
        raise DataError(f"The cache {folder} cannot be written: {why.strerror or why}.") from why


@dataclass(frozen=True, eq=False)
class Stored:
    """Images kept in the cache: a read-only memory map, labels, their `sha256_of` and notes."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    sha256: str
    notes: tuple[str, ...]


def read_images(home: Path) -> Stored | None:
    """What `write_images` stored at `home`; None where nothing is, or where it is no longer what was written."""
    try:
        meta = json.loads((home / "meta.json").read_text("utf-8"))
        if meta["format"] != FORMAT:
            return None
        shape = tuple(meta["shape"])
        if (home / "images.u8").stat().st_size != np.prod(shape):
            return None
        images = np.memmap(home / "images.u8", dtype=np.uint8, mode="r", shape=shape)
        labels = np.fromfile(home / "labels.i64", dtype="<i8").astype(np.int64) if meta["labels"] else None
        stored = Stored(images, labels, meta["sha256"], tuple(meta["notes"]))
    except (OSError, ValueError, KeyError, TypeError):  # missing, cut short or not what was written: build it again
        return None
    return stored if sha256_of(images, labels) == stored.sha256 else None


def write_images(
    home: Path,
    rows: Iterable[tuple[npt.NDArray[np.uint8], int | None]],
    shape: tuple[int, int, int],
    notes: Sequence[str],
) -> Stored:
    """Store `rows` of (image [C, H, W] of this `shape`, label) at `home`, one at a time, and read them back.

    Labels are given for all rows or for none. `notes` is read after the last row. Safe under concurrent use and kills:
    `home` appears complete, or stays as it was.
    """
    with scratch(home.parent) as partial:
        built = partial / "built"
        built.mkdir()
        labels: list[int] = []
        count = 0
        with open(built / "images.u8", "wb") as file:
            for image, label in rows:
                file.write(np.ascontiguousarray(image, dtype=np.uint8).data)
                count += 1
                if label is not None:
                    labels.append(label)
            _flush(file)
        label_array = np.array(labels, dtype="<i8") if labels else None
        if label_array is not None:
            with open(built / "labels.i64", "wb") as file:
                file.write(label_array.data)
                _flush(file)
        images = np.memmap(built / "images.u8", dtype=np.uint8, mode="r", shape=(count, *shape))
        meta = {
            "format": FORMAT,
            "shape": images.shape,
            "labels": bool(labels),
            "sha256": sha256_of(images, label_array),
            "notes": list(notes),
        }
        del images
        with open(built / "meta.json", "w", encoding="utf-8") as text:
            json.dump(meta, text)
            _flush(text)
        return _publish(built, home, partial)


def _publish(built: Path, home: Path, partial: Path) -> Stored:
    for attempt in range(3):
        with contextlib.suppress(OSError):  # something is there already; whether it is any good shows below
            os.rename(built, home)
        stored = read_images(home)
        if stored is not None:  # ours, or that of another process that was faster
            return stored
        with contextlib.suppress(OSError):  # another process may be replacing it, too
            os.rename(home, partial / f"damaged-{attempt}")
    raise DataError(f"{home} does not read back as it was written. Is the disk failing?")


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
