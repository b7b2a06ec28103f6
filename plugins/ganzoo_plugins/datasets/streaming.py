"""Images that are decoded whenever they are read: the cache holds an index of the files that can be, and no pixels."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.errors import DataError
from ganzoo_plugins.datasets.files import UserFile, printable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ganzoo.data.cache import CachedArrays
    from ganzoo_plugins.datasets.pixels import Form, Pixels

SHARE = 0.9
"""At most this share of what is free on the cache's disk is filled."""


def fits(count: int, form: Form, cache: Path) -> bool:
    """Whether the disk of the cache has room for the pixels of `count` images."""
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    return count * _bytes_of(form) <= SHARE * shutil.disk_usage(there).free


def write_index(
    home: Path,
    decoded: Iterable[tuple[int, npt.NDArray[Any]]],
    labels: Sequence[int] | None,
    form: Form,
    notes: list[str],
    source: str,
) -> CachedArrays:
    """Store the number of every readable file and the checksum of its pixels, with its label, at `home`.

    `decoded` yields them with the pixels. The facts of the index are the form and the SHA-256 of all pixels and labels,
    which is that of the same images in the cache, so a training may change from one to the other.
    """
    import numpy as np

    from ganzoo.data.cache import write_arrays

    facts: dict[str, Any] = {"form": dataclasses.asdict(form)}

    def rows() -> Iterator[tuple[npt.NDArray[np.int64], int | None]]:
        digest, chosen = hashlib.sha256(), []
        for number, values in decoded:
            content = np.ascontiguousarray(values).data
            digest.update(content)
            chosen.append(number)
            yield np.array([number, zlib.crc32(content)]), None if labels is None else labels[number]
        digest.update(f"{np.dtype(form.dtype)} {[len(chosen), form.channels, *form.size]}".encode())
        if labels is not None:
            digest.update(np.array([labels[number] for number in chosen], "<i8").data)
        facts["sha256"] = digest.hexdigest()

    return write_arrays(home, rows(), (2,), notes, f"{source}, index", np.int64, facts)


def streamed(
    index: CachedArrays, files: Sequence[UserFile], read: Callable[[int, Form], Pixels | str], said: bool
) -> CachedArrays:
    """The images of an index, with `Streamed` in the place of their array; if it is to be `said`, with a note on that.

    `read` gives the pixels of the file of a number, or the reason why it cannot be read.
    """
    import numpy as np

    from ganzoo.data.cache import CachedArrays
    from ganzoo.data.streamed import Streamed
    from ganzoo_plugins.datasets.pixels import Form

    known = index.facts["form"]
    form = Form(tuple(known["size"]), known["grey"], known["bits"], tuple(known["range"]))

    def decode(example: int) -> npt.NDArray[Any]:
        number, checksum = index.values[example].tolist()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = read(number, form)
        name = printable(files[number].name)
        if isinstance(pixels, str):
            raise DataError(f"{name} can no longer be read: {pixels}. Put it back, and --resume the training.")
        if zlib.crc32(np.ascontiguousarray(pixels.values).data) != checksum:
            raise DataError(f"{name} is no longer the image that training began with. Put it back, and --resume.")
        return pixels.values

    values = Streamed.array(decode, (len(index.values), form.channels, *form.size), form.dtype)
    notes = index.notes
    if said:
        size = f"{len(files) * _bytes_of(form) / 1e9:,.1f} GB"
        notes += (f"the decoded images, {size}, did not fit into the cache: files are decoded whenever they are read",)
    return CachedArrays(values, index.labels, index.facts["sha256"], notes)


def _bytes_of(form: Form) -> int:
    height, width = form.size
    return form.channels * height * width * form.bits // 8
