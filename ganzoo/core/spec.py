"""What data are: their shape as networks see it, where files are looked for, and what a loaded data set offers."""

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
    """What an architecture is told about its data: images [channels, size, size], or points [channels] of size 0.

    `classes` is how many labels there are, `inputs` how many channels the input image of a pair has, which is of the
    same size; 0 where the data have none, or where the architecture's card asks for none. Networks see points divided
    by `scale`, which brings them into [-1, 1], where images are as well.
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
    """Where data sets look for their files: `given` (from --data-dir or GANZOO_DATA) first, then `cache`."""

    given: Path | None
    cache: Path

    @classmethod
    def find(cls, data_dir: str | os.PathLike[str] | None = None) -> DataLocation:
        """The location `data_dir`, else the environment's GANZOO_DATA, beside the platform's cache directory."""
        import platformdirs

        given = data_dir or os.environ.get("GANZOO_DATA")
        return cls(Path(os.path.expanduser(given)) if given else None, Path(platformdirs.user_cache_dir("ganzoo")))


class LoadedData(Protocol):
    """What `Dataset.load` returns: `ganzoo.data.ImageData` or `PointData`."""

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
