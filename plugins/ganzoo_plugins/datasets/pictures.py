"""The user's image files: decoded once into the cache and mapped from there, or decoded whenever they are read."""

from __future__ import annotations

import hashlib
import os
import statistics
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo.data.parallel import in_order
from ganzoo.errors import DataError, StorageError
from ganzoo_plugins.datasets.deadline import deadline
from ganzoo_plugins.datasets.files import UserFile, first_names, printable, reason

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ganzoo.data.cache import CachedArrays
    from ganzoo_plugins.datasets.pixels import Form, Header, Pixels

DEFAULT_SIZE = 64
"""Side of images that differ in size, unless they are smaller."""
MAX_SIZE = 256
"""Largest side of images that are taken as they are."""
SPARSE = 16
"""16-bit images that use less than this part of their range get a note."""
FORMAT = 3


def load(
    files: Sequence[UserFile],
    labels: Sequence[int] | None,
    train: Sequence[UserFile],
    cache: Path,
    source: str,
    size: tuple[int, int] | None = None,
    bits: int = 8,
    value_range: tuple[int, int] | None = None,
    beside: Sequence[UserFile] = (),
    train_beside: Sequence[UserFile] = (),
    stream: bool | None = False,
) -> CachedArrays:
    """Decode the readable `files` into `cache`, unless they are there; if they are to `stream`, only an index of them.

    With None they stream if the disk of the cache is too small.
    The `train` files decide the form: grey if all are grey, `train_beside` included, else RGB; (height, width) as asked
    for by `size`, else theirs if it is common to all and at most 256, else a square. What is done to them is said in
    notes. The i-th of the files `beside`, if there are any, must have the aspect ratio of the i-th of `files`.
    """
    from ganzoo.data.cache import read_arrays, write_arrays
    from ganzoo_plugins.datasets import streaming

    key = _key((files, train, beside, train_beside), f"{size} {bits} {value_range} {labels}")
    stored = None if stream else read_arrays(cache / key)
    if stored is not None:
        return stored
    index_home = cache / f"{key}-index"
    index = read_arrays(index_home) if stream else None
    if index is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns about many files that it can read
            form, notes = _form(train, train_beside, size, bits, value_range)
            caches = stream is False or (stream is None and streaming.fits(len(files), form, cache))
            if stream is None and not caches:
                index = read_arrays(index_home)
            if index is None:
                decoded = _readable(files, form, notes, value_range is None, beside)
                if caches:
                    rows = ((values, None if labels is None else labels[number]) for number, values in decoded)
                    return write_arrays(cache / key, rows, (form.channels, *form.size), notes, source, form.dtype)
                index = streaming.write_index(index_home, decoded, labels, form, notes, source)
    return streaming.streamed(index, files, lambda number, form: _decoded(files, number, form, ()), stream is None)


def _key(groups: Sequence[Sequence[UserFile]], options: str) -> str:
    digest = hashlib.sha256(f"{FORMAT} {options}\0".encode())
    for group in groups:
        for file in group:
            digest.update(os.fsencode(f"{file.name}\0{file.identity}\0"))
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _form(
    train: Sequence[UserFile],
    beside: Sequence[UserFile],
    size: tuple[int, int] | None,
    bits: int,
    value_range: tuple[int, int] | None,
) -> tuple[Form, list[str]]:
    """The form of the images, and notes on what it does to them."""
    from ganzoo_plugins.datasets.pixels import Form

    headers = [known for known in _headers(train) if known is not None]
    grey = all(known.grey for known in headers)
    grey = grey and all(known is None or known.grey for known in _headers(beside))
    if bits == 16 and not grey:
        raise DataError("bits=16 is for grey images, but some of these are in colour.")
    sizes = {h.size for h in headers} or {(DEFAULT_SIZE, DEFAULT_SIZE)}
    notes = []
    if size is None:
        common = next(iter(sizes))
        if len(sizes) == 1 and max(common) <= MAX_SIZE:
            size = common
        else:
            side = max(1, min(DEFAULT_SIZE, int(statistics.median(min(s) for s in (h.size for h in headers)))))
            size = (side, side)
            which = _extent(sizes)
            notes.append(
                f"images of {which} pixels (height x width) are scaled and cropped to {side}x{side}; another size: "
                "--image-size N"
            )
    return Form(size, grey, bits, value_range or (0, 65535)), notes


def _headers(files: Sequence[UserFile]) -> Iterator[Header | None]:
    return in_order(lambda number: _header(files[number]), len(files), "Looking at images")


def _header(file: UserFile) -> Header | None:
    """The header of an image file; None of a damaged one, which `_readable` reports."""
    from ganzoo_plugins.datasets.pixels import header

    try:
        with deadline(), file.open() as stream:
            return header(stream)
    except StorageError:  # not the file's fault
        raise
    except Exception:  # decoders may raise anything on damaged files
        return None


def _extent(sizes: set[tuple[int, int]]) -> str:
    ordered = ["x".join(map(str, size)) for size in sorted(sizes, key=lambda size: size[0] * size[1])]
    return ordered[0] if len(ordered) == 1 else f"{len(ordered)} sizes from {ordered[0]} to {ordered[-1]}"


def _readable(
    files: Sequence[UserFile], form: Form, notes: list[str], guess_range: bool, beside: Sequence[UserFile]
) -> Iterator[tuple[int, npt.NDArray[np.uint8 | np.uint16]]]:
    """Yield number and pixels of every readable file; then add to `notes` which were skipped, and why."""
    skipped: list[str] = []
    coloured, largest = 0, -1
    decoded = in_order(lambda number: _decoded(files, number, form, beside), len(files), "Decoding images")
    for number, pixels in enumerate(decoded):
        if isinstance(pixels, str):
            skipped.append(f"{printable(files[number].name)} ({pixels})")
            continue
        coloured += pixels.coloured
        largest = max(largest, -1 if pixels.largest is None else pixels.largest)
        yield number, pixels.values
    if len(skipped) == len(files):
        raise DataError(f"None of the image files can be read: {first_names(skipped)}.")
    if skipped:
        notes.append(f"{len(skipped)} of {len(files)} files skipped: {first_names(skipped)}")
    if coloured:
        notes.append(f"{coloured} images in colour become grey, as the training images are")
    if guess_range and 0 <= largest < 65535 // SPARSE + 1:
        notes.append(
            f"16-bit images use only the values up to {largest:,} of 65,535, so they look nearly black; "
            f"to stretch them, write range=0-{_full_scale(largest)} before the path (folder:range=...:PATH)"
        )


def _decoded(files: Sequence[UserFile], number: int, form: Form, beside: Sequence[UserFile]) -> Pixels | str:
    """The pixels of this file, or the reason why it cannot be read."""
    from ganzoo_plugins.datasets.pixels import read

    try:
        with deadline(), files[number].open() as stream:
            pixels = read(stream, form)
        if beside:
            _check_aspect(pixels.size, _header(beside[number]))
        return pixels
    except StorageError:  # not the file's fault
        raise
    except Exception as error:  # decoders may raise anything on damaged files
        return reason(error)


def _check_aspect(size: tuple[int, int], other: Header | None) -> None:
    """ValueError if two images of a pair differ in aspect ratio, so that their crops would not match."""
    if other is None:  # unreadable, and skipped on its own side
        return
    (h, w), (height, width) = size, other.size
    if abs(h * width - height * w) > max(h, w) + max(height, width):  # beyond rounding
        raise ValueError(f"its images differ in aspect ratio: {w}x{h} and {width}x{height}")


def _full_scale(largest: int) -> int:
    """The full scale of a camera that gave this value: 255, 1023, 4095 ..."""
    return int((1 << max(8, largest.bit_length())) - 1)
