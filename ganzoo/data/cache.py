"""The cache of decoded images and sounds: written atomically, verified when read."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ganzoo.core.errors import DataError
from ganzoo.core.files import flush, write_text

FORMAT = 1
META, VALUES, LABELS = "meta.json", "images.u8", "labels.i64"
"""Names of files; that of the values is older than other types than uint8."""
STALE_SECONDS = 7 * 24 * 3600


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A temporary directory inside `folder`, removed on exit. Rename complete files out of it.

    Leftovers of killed processes older than a week are removed. Raises `DataError` if writing fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(".partial-*"):
            with contextlib.suppress(OSError):  # another process may be removing it
                if time.time() - old.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder, ignore_cleanup_errors=True) as name:
            yield Path(name)
    except OSError as error:
        raise DataError(f"The cache {folder} cannot be written: {error.strerror or error}.") from error


@dataclass(frozen=True, eq=False)
class CachedArrays:
    """A cached array, a read-only memory map [N, ...], with labels, their `sha256_of` and notes."""

    values: npt.NDArray[Any]
    labels: npt.NDArray[np.int64] | None
    sha256: str
    notes: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further facts about the data, stored in its metadata."""


def read_arrays(home: Path) -> CachedArrays | None:
    """Read what `write_arrays` stored at `home`; None if there is nothing or it is damaged."""
    from ganzoo.data.arrays import sha256_of  # imports torch, which listing data sets does not need

    try:
        meta = json.loads((home / META).read_text("utf-8"))
        if meta["format"] != FORMAT:
            return None
        shape, dtype = tuple(meta["shape"]), np.dtype(meta.get("dtype", "|u1"))
        if (home / VALUES).stat().st_size != np.prod(shape) * dtype.itemsize:
            return None
        values = np.memmap(home / VALUES, dtype=dtype, mode="r", shape=shape)
        labels = np.fromfile(home / LABELS, dtype="<i8").astype(np.int64) if meta["labels"] else None
        stored = CachedArrays(values, labels, meta["sha256"], tuple(meta["notes"]), meta.get("facts", {}))
    except (OSError, ValueError, KeyError, TypeError):  # missing, truncated or damaged: build it again
        return None
    return stored if sha256_of(values, labels) == stored.sha256 else None


def write_arrays(
    home: Path,
    rows: Iterable[tuple[npt.NDArray[Any], int | None]],
    shape: tuple[int, ...],
    notes: Sequence[str],
    source: str,
    dtype: npt.DTypeLike = np.uint8,
    facts: Mapping[str, Any] | None = None,
) -> CachedArrays:
    """Store `rows`, pairs of an example of this `shape` and its label, at `home` and read them back.

    Either all rows have labels or none. `notes` and `facts` are read after the last row, and `source` says to people
    what was stored. Rows are written as they come. Safe if several processes do it at once or are killed: `home`
    appears complete or stays as it was.
    """
    from ganzoo.data.arrays import sha256_of  # imports torch, which listing data sets does not need

    with scratch(home.parent) as partial:
        built = partial / "built"
        built.mkdir()
        labels: list[int] = []
        count = 0
        with open(built / VALUES, "wb") as file:
            for values, label in rows:
                file.write(np.ascontiguousarray(values, dtype=dtype).data)
                count += 1
                if label is not None:
                    labels.append(label)
        flush(built / VALUES)
        label_array = np.array(labels, dtype="<i8") if labels else None
        if label_array is not None:
            label_array.tofile(built / LABELS)
            flush(built / LABELS)
        stored = np.memmap(built / VALUES, dtype=dtype, mode="r", shape=(count, *shape))
        meta = {
            "format": FORMAT,
            "source": source,
            "shape": stored.shape,
            "dtype": stored.dtype.str,
            "labels": bool(labels),
            "sha256": sha256_of(stored, label_array),
            "notes": list(notes),
            **({"facts": dict(facts)} if facts else {}),
        }
        del stored
        write_text(built / META, json.dumps(meta))
        return _publish(built, home, partial)


def _publish(built: Path, home: Path, partial: Path) -> CachedArrays:
    for attempt in range(3):
        with contextlib.suppress(OSError):  # it exists already; whether it is intact is checked below
            os.rename(built, home)
        stored = read_arrays(home)
        if stored is not None:  # ours, or that of a faster process
            return stored
        with contextlib.suppress(OSError):  # another process may be replacing it
            os.rename(home, partial / f"damaged-{attempt}")
    raise DataError(f"{home} was written but cannot be read back. Is the disk failing?")
