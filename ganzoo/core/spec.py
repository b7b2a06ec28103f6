"""Descriptions of data: what networks see, the location of files, the interface of a loaded data set."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ganzoo.core.errors import UsageError
from ganzoo.core.paths import cache_folder, user_path

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DataKind = str
"""The name of a modality: "images", "points", "audio", "video", "table", or one that a plugin adds."""
Split = Literal["train", "test"]
TARGET, LABEL, INPUT = "target", "label", "input"
"""Names of arrays: what is generated; its class, -1 where unknown; an image that a generator starts from."""
UNKNOWN_LABEL = -1


def examples_of(kind: DataKind) -> str:
    """The word for data of this kind in a message that says what they are: "images", "audio", "rows of a table"."""
    return "rows of a table" if kind == "table" else kind


@dataclass(frozen=True)
class Field:
    """One array of a data set, as networks see an example of it.

    Args:
        modality: the name of the modality that encodes, decodes, pictures and writes it.
        shape: of one example: (channels, height, width) of an image, (channels, samples) of audio, () of a label.
        facts: what else networks and users must know, as JSON values: `bits` of images if not 8, `scale` of points,
            `sample_rate` of audio, `columns` of a table, `classes` of labels, and whether some are `unknown`.
    """

    modality: str
    shape: tuple[int, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.modality, self.shape, json.dumps(dict(self.facts), sort_keys=True)))

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        facts = ", ".join(f"{name} {value}" for name, value in self.facts.items() if isinstance(value, (int, float)))
        return " ".join(part for part in (shape, self.modality, f"({facts})" if facts else "") if part)


@dataclass(frozen=True, init=False)
class DataSpec:
    """The data an architecture is built for: the `target` it generates and the fields that are `given` with it.

    `given` holds only what the architecture's card asks for, by name: "label", "input", or other arrays of the data
    set. Unless `aligned`, inputs and targets are examples of two domains that do not belong together.

    The short form, `DataSpec(channels, size, classes, inputs, scale)`, describes square 8-bit images, or points if the
    size is 0, with labels and an input image of the same size if `classes` and `inputs` are not 0. The attributes of
    these names raise UsageError if the data are more than they can say, so that an architecture that reads only them
    refuses such data.
    """

    target: Field
    given: Mapping[str, Field]
    aligned: bool

    def __init__(
        self,
        channels: int | None = None,
        size: int | None = None,
        classes: int | None = None,
        inputs: int | None = None,
        scale: float | None = None,
        *,
        target: Field | None = None,
        given: Mapping[str, Field] | None = None,
        aligned: bool = True,
    ):
        fields = dict(given or {})
        # with a target, these are changes to it, as in dataclasses.replace(spec, channels=4)
        if target is None or (channels, size, scale) != (None, None, None):
            before, target = target, _short_target(target, channels, size, scale)
            if before is not None and INPUT in fields and fields[INPUT].shape[1:] == before.shape[1:]:
                inputs = fields[INPUT].shape[0] if inputs is None else inputs
        if classes is not None:
            fields.pop(LABEL, None)
            if classes:
                fields = {LABEL: Field("labels", (), {"classes": classes}), **fields}
        if inputs is not None:
            fields.pop(INPUT, None)
            if inputs:
                fields[INPUT] = Field("images", (inputs, *target.shape[1:]))
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "given", fields)
        object.__setattr__(self, "aligned", aligned)

    def __hash__(self) -> int:
        return hash((self.target, tuple(self.given.items()), self.aligned))

    def __str__(self) -> str:
        given = ", ".join(f"{name}: {described}" for name, described in self.given.items())
        return f"{self.target}" + (f", given {given}" if given else "") + ("" if self.aligned else ", not aligned")

    @property
    def kind(self) -> DataKind:
        """The target's modality."""
        return self.target.modality

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example of the target."""
        return self.target.shape

    @property
    def channels(self) -> int:
        """Channels of images or audio, dimensions of points."""
        return self.target.shape[0]

    @property
    def side(self) -> int | None:
        """The side of square images; None for other images and for anything but images."""
        square = self.kind == "images" and self.target.shape[1] == self.target.shape[2]
        return self.target.shape[1] if square else None

    @property
    def size(self) -> int:
        """The side of images, for architectures that need square ones; 0 for anything but images."""
        if self.kind != "images":
            return 0
        _, height, width = self.target.shape
        if height != width:
            raise UsageError(
                f"This architecture needs square images, but these have {height}x{width} pixels (height x width). Set "
                f"image_size={min(height, width)} to cut squares of this side out of them."
            )
        return height

    @property
    def classes(self) -> int:
        """Number of classes of the labels; 0 if there are none."""
        return int(self.given[LABEL].facts["classes"]) if LABEL in self.given else 0

    @property
    def inputs(self) -> int:
        """Channels of the input image, which has the target's size; 0 if there is none."""
        if INPUT not in self.given:
            return 0
        shape = self.given[INPUT].shape
        if shape[1:] != self.target.shape[1:]:
            raise UsageError(
                f"This architecture needs inputs of the size of the images they turn into, but the inputs are "
                f"{self.given[INPUT]}, and the data {self.target}."
            )
        return shape[0]

    @property
    def scale(self) -> float:
        """The largest absolute coordinate of points, which networks see divided by it; else 1."""
        return float(self.target.facts.get("scale", 1.0))

    def with_channels(self, channels: int) -> DataSpec:
        """The spec with another number of channels, for a network that sees further planes beside the target's."""
        return DataSpec(channels, target=self.target, given=self.given, aligned=self.aligned)

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON values; `from_json` reads them back."""
        fields = {
            name: {"modality": f.modality, "shape": list(f.shape), "facts": dict(f.facts)}
            for name, f in {TARGET: self.target, **self.given}.items()
        }
        return {"fields": fields, "aligned": self.aligned}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataSpec:
        """The spec that `to_json` described. ValueError if it cannot be one."""
        fields = {}
        for name, stored in values["fields"].items():
            modality, shape, facts = stored["modality"], stored["shape"], stored["facts"]
            sizes = isinstance(shape, list) and all(type(n) is int and 0 < n < 1 << 24 for n in shape)
            if not (sizes and len(shape) <= 8 and isinstance(modality, str) and isinstance(facts, dict)):
                raise ValueError(f"{name} is not the description of an array")
            fields[name] = Field(modality, tuple(shape), facts)
        target = fields.pop(TARGET)
        classes = fields[LABEL].facts["classes"] if LABEL in fields else 1
        known_classes = type(classes) is int and 0 < classes <= 1 << 20
        if not target.shape or not known_classes or type(values["aligned"]) is not bool:
            raise ValueError("its target, classes or aligned is not valid")
        return cls(target=target, given=fields, aligned=values["aligned"])


def _short_target(before: Field | None, channels: int | None, size: int | None, scale: float | None) -> Field:
    """The target that the short form describes, what it leaves out as in `before`."""
    if before is not None and size is None:
        facts = {**before.facts, **({} if scale is None else {"scale": float(scale)})}
        return Field(before.modality, before.shape if channels is None else (channels, *before.shape[1:]), facts)
    if before is not None:
        channels = before.shape[0] if channels is None else channels
    if channels is None or size is None:
        raise TypeError("DataSpec needs a target, or channels and size")
    if size:
        return Field("images", (channels, size, size))
    return Field("points", (channels,), {"scale": 1.0 if scale is None else float(scale)})


@dataclass(frozen=True)
class DataLocation:
    """Where data sets look for files: first in `given` (--data-dir or GANZOO_DATA), then in `cache`."""

    given: Path | None
    cache: Path

    @classmethod
    def find(cls, data_dir: str | os.PathLike[str] | None = None) -> DataLocation:
        """`data_dir`, or the environment's GANZOO_DATA, and the platform's cache directory."""
        given = data_dir or os.environ.get("GANZOO_DATA")
        return cls(user_path(given, "a directory with data files") if given else None, cache_folder())


class LoadedData(Protocol):
    """The result of `Dataset.load`: `ganzoo.data.ArrayData`, `ImageData` or `PointData`."""

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
    def arrays(self) -> Mapping[str, npt.NDArray[Any]]: ...
    @property
    def values(self) -> npt.NDArray[Any]: ...
    @property
    def spec(self) -> DataSpec: ...
    def __len__(self) -> int: ...
