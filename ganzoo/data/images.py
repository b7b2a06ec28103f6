"""Image data sets in memory or mapped from disk, resizing and hashing."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ganzoo.core.errors import DataError
from ganzoo.core.spec import INPUT, LABEL, TARGET, Split
from ganzoo.data.arrays import CHUNK_PIXELS, Loaded, sha256_of, sha256_of_arrays

if TYPE_CHECKING:
    from ganzoo.data.arrays import Corruption

__all__ = ["ImageData", "resize", "sha256_of", "sha256_of_arrays"]


@dataclass(frozen=True, eq=False)
class ImageData(Loaded):
    """Images, uint8 or uint16 [N, C, H, W] (an array or a read-only memory map), and int64 labels [N] or None.

    Labels are -1 where the class is unknown. In paired data every image has an input image, from which a generator is
    to produce it: either stored in `inputs`, [N, C', h, w], or computed from the image by `corrupt` when needed.

    `ArrayData` is the general form, for other modalities and arrays of other names.

    Raises `DataError` if the arrays do not have this form or a label has no name in `class_names`.
    """

    images: npt.NDArray[Any]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    name: str
    split: Split
    sha256: str
    """Hash of all arrays, see `sha256_of` and `sha256_of_arrays`."""
    notes: tuple[str, ...] = ()
    """Messages for the user about files that were skipped or assumptions that were made."""
    inputs: npt.NDArray[Any] | None = None
    corrupt: Corruption | None = None
    channels_of: str | None = None
    """Name of the labelled data set if every channel is a separate image of it."""
    aligned: bool = True
    """Whether the i-th input belongs to the i-th image."""

    def __post_init__(self) -> None:
        if self.inputs is not None and self.corrupt is not None:
            raise DataError(f"{self.name}: inputs are either stored or computed by corrupt, not both.")
        _ = self.fields

    @property
    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        named = {TARGET: self.images, LABEL: self.labels, INPUT: self.inputs}
        return {name: values for name, values in named.items() if values is not None}

    @property
    def facts(self) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
        images: tuple[str, Mapping[str, Any]] = ("images", {})
        return {TARGET: images, INPUT: images, LABEL: ("labels", {"classes": len(self.class_names)})}

    def only(self, given: Collection[str]) -> ImageData:
        unused: dict[str, Any] = {} if LABEL in given else {"labels": None, "class_names": ()}
        unused |= {} if INPUT in given else {"inputs": None, "corrupt": None, "aligned": True}
        return dataclasses.replace(self, **unused)


def resize(images: npt.NDArray[Any], size: int | tuple[int, int]) -> npt.NDArray[Any]:
    """Resize uint8 or uint16 [N, C, H, W] to a side or (height, width): bilinear, antialiased, rounded.

    No copy if the size matches.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if images.shape[2:] == (height, width):
        return images
    import torch

    result = np.empty((*images.shape[:2], height, width), dtype=images.dtype)
    step = _chunk(max(images.shape[1] * images.shape[2] * images.shape[3], images.shape[1] * height * width))
    for start in range(0, len(images), step):
        chunk = torch.from_numpy(images[start : start + step].astype(np.float32))
        scaled = torch.nn.functional.interpolate(chunk, (height, width), mode="bilinear", antialias=True)
        result[start : start + step] = scaled.round_().clamp_(0, np.iinfo(images.dtype).max).numpy()
    return result


def _chunk(pixels: int) -> int:
    return max(1, CHUNK_PIXELS // max(1, pixels))
