"""Descriptions of data: the shape that networks see, the location of files, the interface of a loaded data set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DataKind = Literal["images", "points"]
Split = Literal["train", "test"]


@dataclass(frozen=True)
class DataSpec:
    """The data an architecture is built for: images [channels, size, size], or points [channels] with size 0.

    `classes` is the number of labels, and `inputs` the number of channels of the input image of a pair, which has the
    same size; both are 0 if the data have none or the architecture's card does not require them. Networks see points
    divided by `scale`, and thus, like images, in [-1, 1].
    """

    channels: int
    size: int
    classes: int = 0
    inputs: int = 0
    scale: float = 1.0

    @property
    def kind(self) -> DataKind:
        return "images" if self.size else "points"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return (self.channels, self.size, self.size) if self.size else (self.channels,)


@dataclass(frozen=True)
class DataLocation:
    """Where data sets look for files: first in `given` (--data-dir or GANZOO_DATA), then in `cache`."""

    given: Path | None
    cache: Path

    @classmethod
    def find(cls, data_dir: str | os.PathLike[str] | None = None) -> DataLocation:
        """`data_dir`, or the environment's GANZOO_DATA, and the platform's cache directory."""
        import platformdirs

        given = data_dir or os.environ.get("GANZOO_DATA")
        return cls(Path(os.path.expanduser(given)) if given else None, Path(platformdirs.user_cache_dir("ganzoo")))


class LoadedData(Protocol):
    """The result of `Dataset.load`: `ganzoo.data.ImageData` or `PointData`."""

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> Split: ...
    @property
    def sha256(self) -> str: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> npt.NDArray[np.int64] | None: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def values(self) -> npt.NDArray[Any]: ...
    @property
    def spec(self) -> DataSpec: ...
    def __len__(self) -> int: ...
