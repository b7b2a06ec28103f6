"""Modalities: how the values of one kind of data are encoded for networks, decoded, pictured, written and made up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganzoo.core import registry
from ganzoo.core.entry_points import MODALITIES
from ganzoo.core.errors import DataError, PluginError
from ganzoo.core.spec import Field

Array = npt.NDArray[Any]


class Modality:
    """A kind of data. Subclasses are found by name in the entry-point group `ganzoo.modalities`.

    `values` are arrays or CPU tensors as a data set stores them, [N, ...]. Networks see them encoded,
    [N, *field.shape].
    """

    name: str = ""
    """The name of its entry point."""
    noun: ClassVar[str]
    """What messages call several examples: "images", "clips"."""
    in_grid: ClassVar[bool] = True
    """Whether `picture` shows each example by itself, in a grid; else it is one plot of many."""
    suffix: ClassVar[str | None] = None
    """The ending of the files that `write` makes; None if there are none."""
    one_per_file: ClassVar[bool] = True
    """Whether a file holds one example, so that several make a directory; else a file holds all of them."""

    def example(self) -> Field:
        """A small field, for conformance checks."""
        raise NotImplementedError

    def field(self, values: Array, facts: Mapping[str, Any]) -> Field:
        """The description of `values`, given the `facts` that the data set states. DataError if they do not fit."""
        raise NotImplementedError

    def encode(self, values: Tensor, field: Field) -> Tensor:
        """What networks see: float32 in [-1, 1], [N, *field.shape], on the same device."""
        raise NotImplementedError

    def decode(self, outputs: Tensor, field: Field) -> Tensor:
        """The inverse of `encode` for the outputs of a generator, of any float type; on the CPU."""
        raise NotImplementedError

    def images(self, values: Tensor, field: Field) -> Tensor | None:
        """An image of each example, uint8 [N, 1 or 3, H, W], for grids and classifiers; None if there is none."""
        return None

    def picture(
        self, values: Tensor, field: Field, columns: int, real: Tensor | None = None, side: int = 480
    ) -> Tensor:
        """One picture of several examples, uint8 [1 or 3, H, W]: by default a grid of their `images`.

        A plot, of `side` pixels, may show `real` examples of the data as well.
        """
        from ganzoo.data.imaging import grid

        images = self.images(values, field)
        if images is None:
            raise PluginError(f"The modality {self.name!r} has no pictures.")
        return grid(images, min(columns, max(1, len(images))))

    def write(self, values: Tensor, field: Field, path: Path, text: Mapping[str, object]) -> None:
        """Write examples to the file `path`, with `text` (run, step, seed) where the format has a place for it."""
        raise PluginError(f"The modality {self.name!r} writes no files.")

    def made_up(self, field: Field, count: int, rng: np.random.Generator) -> Array:
        """`count` different examples that fit `field`, for conformance checks."""
        raise NotImplementedError


def as_images(values: Array, field: Field) -> Array | None:
    """An image uint8 [N, C, H, W] of each example, with all its channels; None if its modality has none."""
    if values.dtype == np.uint8 and field.modality == "images":
        return values
    modality = get_modality(field.modality)
    if field.modality == "images":  # of 16 bits; a picture would lack channels
        planes = modality.images(torch.from_numpy(np.array(values)).flatten(0, 1)[:, None], field)
        return None if planes is None else planes.numpy().reshape(values.shape)
    images = modality.images(torch.from_numpy(np.array(values)), field)
    return None if images is None else images.numpy()


def get_modality(name: str) -> Modality:
    """The modality called `name`. Raises UsageError for an unknown name, PluginError for one that cannot be used."""
    modality: Modality = registry.get(MODALITIES, name, _as_modality).card
    modality.name = name
    return modality


def _as_modality(target: Any) -> Modality:
    if not (isinstance(target, type) and issubclass(target, Modality)):
        actual = f"the class {target.__name__}" if isinstance(target, type) else f"a {type(target).__name__}"
        raise PluginError(f"it must be a subclass of ganzoo.data.modality.Modality, but is {actual}")
    if not isinstance(getattr(target, "noun", None), str):
        raise PluginError("it lacks the attribute 'noun'")
    return target()


def expect(holds: bool, expected: str, values: Array) -> None:
    """DataError, with what was `expected` and the type and shape of the values, unless it `holds`."""
    if not holds:
        raise DataError(f"expected {expected}, got {values.dtype} {list(values.shape)}")
