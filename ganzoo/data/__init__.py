"""Data sets by name: `open("mnist")` gives uint8 images in memory or mapped from disk, and labels where there are any.

Importing this package loads neither numpy nor torch.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ganzoo.errors import UsageError, did_you_mean
from ganzoo.plugin import DataLocation, Split

if TYPE_CHECKING:
    from ganzoo.data.images import ImageData

__all__ = ["ImageData", "load", "open"]


def open(
    name: str,
    *,
    split: Split = "train",
    image_size: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> ImageData:
    """The `split` of the data set `name` ("mnist", "folder:PATH"), resized to `image_size` where that is given.

    Files are looked for in `data_dir` (else the environment's GANZOO_DATA), then in the cache, then downloaded. Raises
    `UsageError` for an unknown name or split, `DataError` where files are missing or damaged.
    """
    if split not in ("train", "test"):
        raise UsageError(f"No split is called {split!r}. {did_you_mean(split, ('train', 'test'))}")
    if image_size is not None and image_size < 1:
        raise UsageError(f"image_size={image_size} is not valid: expected integer >= 1.")
    return load(name, DataLocation.find(data_dir), split, image_size)


def load(name: str, where: DataLocation, split: Split, image_size: int | None) -> ImageData:
    """`open` with a location at hand: for data sets that are made of another one."""
    from ganzoo.registry import get_dataset

    card, argument = get_dataset(name)
    return card.load(where, split, image_size, argument)


def __getattr__(name: str) -> Any:
    if name == "ImageData":
        from ganzoo.data.images import ImageData

        return ImageData
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
