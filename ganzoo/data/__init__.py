"""Data sets by name: `open("mnist")` returns images, `open("ring")` points, both with labels if they have any.

Importing this package imports neither numpy nor torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, TypeAlias

from ganzoo.core.errors import PluginError, UsageError, did_you_mean
from ganzoo.core.spec import DataLocation, Split, examples_of

if TYPE_CHECKING:
    from ganzoo.data.arrays import ArrayData
    from ganzoo.data.images import ImageData
    from ganzoo.data.points import PointData

    Data: TypeAlias = ArrayData | ImageData | PointData

__all__ = ["ArrayData", "ImageData", "PointData", "absolute_name", "load", "on_disk", "open", "require_known_kind"]


def open(
    name: str,
    *,
    split: Split = "train",
    image_size: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
) -> Data:
    """Load the `split` of the data set `name` ("mnist", "folder:PATH"), resized to `image_size` pixels if given.

    Files are looked for in `data_dir` (default: the environment variable GANZOO_DATA), then in the cache, then
    downloaded. Raises `UsageError` for an unknown name or split, `DataError` if files are missing or damaged.
    """
    if split not in ("train", "test"):
        raise UsageError(f"There is no split {split!r}. {did_you_mean(str(split), ('train', 'test'))}")
    if image_size is not None and image_size < 1:
        raise UsageError(f"image_size={image_size} is not valid: expected an integer >= 1.")
    return load(name, DataLocation.find(data_dir), split, image_size)


def load(name: str, where: DataLocation, split: Split, image_size: int | None) -> Data:
    """`open` for a given location, for data sets derived from another one."""
    from ganzoo.core.registry import get_dataset

    card, argument = get_dataset(name)
    if image_size is not None and card.kind != "images":
        raise UsageError(f"{name} has {examples_of(card.kind)}, not images: image_size does not apply.")
    return require_known_kind(name, card.load(where, split, image_size, argument))


def require_known_kind(name: str, loaded: object) -> Data:
    """Return what the data set `name` `loaded`; raise PluginError if it is not one of the classes of loaded data."""
    from ganzoo.data.arrays import ArrayData
    from ganzoo.data.images import ImageData
    from ganzoo.data.points import PointData

    if not isinstance(loaded, (ArrayData, ImageData, PointData)):
        raise PluginError(
            f"{name}: load() returns a {type(loaded).__name__}, expected ArrayData, ImageData or PointData."
        )
    return loaded


def on_disk(name: str, where: DataLocation) -> bool:
    """Whether the data set `name` can be loaded without a download."""
    from ganzoo.core.registry import get_dataset

    available: bool = get_dataset(name)[0].on_disk(where)
    return available


def absolute_name(dataset: str) -> str:
    """The data set's name with absolute paths, independent of the working directory."""
    from ganzoo.core.registry import get_dataset

    card, argument = get_dataset(dataset)
    if argument is None:
        return dataset
    return dataset[: len(dataset) - len(argument)] + card.absolute(argument)


def __getattr__(name: str) -> Any:
    modules = {"ArrayData": "arrays", "ImageData": "images", "PointData": "points"}
    if name not in modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"ganzoo.data.{modules[name]}"), name)
