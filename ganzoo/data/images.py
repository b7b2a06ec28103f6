"""Image data sets in memory or mapped from disk, resizing and hashing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataSpec, Split

if TYPE_CHECKING:
    import torch

    Corruption = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
    """Images uint8 [N, C, S, S], random generator of their device -> input images uint8 [N, C', S, S]."""

CHUNK_PIXELS = 1 << 24
"""Number of values converted to float, or hashed, at a time."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """Square images, uint8 [N, C, H, W] (an array or a read-only memory map), and int64 labels [N] or None.

    In paired data every image has an input image of the same size, from which a generator is to produce it: either
    stored in `inputs`, uint8 [N, C', H, W], or computed from the image by `corrupt` when needed.

    Raises `DataError` if the arrays do not have this form or a label has no name in `class_names`.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    name: str
    split: Split
    sha256: str
    """Hash of images and labels, see `sha256_of`."""
    notes: tuple[str, ...] = ()
    """Messages for the user about files that were skipped or assumptions that were made."""
    inputs: npt.NDArray[np.uint8] | None = None
    corrupt: Corruption | None = None
    channels_of: str | None = None
    """Name of the labelled data set if every channel is a separate image of it."""

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape or images.shape[2] != images.shape[3]:
            raise DataError(
                f"{self.name}: expected square uint8 images [N, C, size, size], got {images.dtype} {_shape(images)}."
            )
        inputs = self.inputs
        if inputs is not None and (
            inputs.dtype != np.uint8 or inputs.ndim != 4 or inputs.shape[::2] != images.shape[::2]
            or inputs.shape[3] != images.shape[3] or inputs.shape[1] == 0 or self.corrupt is not None
        ):  # fmt: skip
            raise DataError(
                f"{self.name}: {inputs.dtype} {_shape(inputs)} inputs do not match {_shape(images)} images."
            )
        if labels is None:
            return
        if labels.dtype != np.int64 or labels.shape != (len(images),):
            raise DataError(
                f"{self.name}: expected int64 labels [{len(images)}], one each, got {labels.dtype} {_shape(labels)}."
            )
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(self.class_names):
            raise DataError(
                f"{self.name}: labels range from {low} to {high}, but there are {len(self.class_names)} classes."
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def values(self) -> npt.NDArray[np.uint8]:
        """The images; the common name for all kinds of data."""
        return self.images

    @property
    def paired(self) -> bool:
        """Whether every image has an input image."""
        return self.inputs is not None or self.corrupt is not None

    @property
    def spec(self) -> DataSpec:
        """Channels, size, number of classes and channels of the input images (0: none), for `Architecture.build`."""
        classes = 0 if self.labels is None else len(self.class_names)
        inputs = self.examples(1)[0].shape[1] if self.paired else 0
        return DataSpec(channels=self.images.shape[1], size=self.images.shape[2], classes=classes, inputs=inputs)

    def examples(self, which: int | npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Input images and the images they belong to, both uint8: the first `which`, or those with the indices `which`.

        Corruptions are the same in every call. In data without pairs every image is its own input.
        """
        import torch

        indices = slice(which) if isinstance(which, int) else which
        images = torch.from_numpy(np.array(self.images[indices]))
        if self.inputs is not None:
            return torch.from_numpy(np.array(self.inputs[indices])), images
        if self.corrupt is not None:
            return self.corrupt(images, torch.Generator().manual_seed(0)), images
        return images, images


def resize(images: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Resize uint8 [N, C, H, W] to [N, C, size, size]: bilinear, antialiased, rounded. No copy if the size matches."""
    if images.shape[2:] == (size, size):
        return images
    import torch

    result = np.empty((*images.shape[:2], size, size), dtype=np.uint8)
    step = _chunk(max(images.shape[1] * images.shape[2] * images.shape[3], images.shape[1] * size * size))
    for start in range(0, len(images), step):
        chunk = torch.from_numpy(images[start : start + step].astype(np.float32))
        scaled = torch.nn.functional.interpolate(chunk, (size, size), mode="bilinear", antialias=True)
        result[start : start + step] = scaled.round_().clamp_(0, 255).numpy()
    return result


def sha256_of(values: npt.NDArray[np.uint8 | np.float32], labels: npt.NDArray[np.int64] | None) -> str:
    """The SHA-256, in hex, of images or points, their shape and the labels. Reads memory maps in chunks."""
    digest = hashlib.sha256()
    step = _chunk(int(np.prod(values.shape[1:])))
    for start in range(0, len(values), step):
        digest.update(np.ascontiguousarray(values[start : start + step]).data)
    digest.update(f"{values.dtype} {_shape(values)}".encode())
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return digest.hexdigest()


def _chunk(pixels: int) -> int:
    return max(1, CHUNK_PIXELS // max(1, pixels))


def _shape(array: npt.NDArray[Any]) -> str:
    return str(list(array.shape))
