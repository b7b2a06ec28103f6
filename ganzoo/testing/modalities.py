"""Checks of a modality."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganzoo.core.errors import DataError
from ganzoo.core.spec import Field
from ganzoo.data.modality import Array, Modality
from ganzoo.testing.kit import CheckError, rule

COUNT = 6
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
TOLERANCE = 1e-4
"""Of a value that is encoded and decoded, relative to the largest one, where values are floats."""


@dataclass(frozen=True)
class ModalityFixture:
    """The modality `modality`."""

    modality: Modality

    @property
    def field(self) -> Field:
        try:
            return self.modality.example()
        except NotImplementedError:
            raise CheckError("it has no `example`", "return a small Field from `example`.") from None

    def made_up(self, seed: int = 0) -> Array:
        return self.modality.made_up(self.field, COUNT, np.random.default_rng(seed))

    def described(self, values: Array) -> Field:
        """What the modality says of `values`."""
        try:
            return self.modality.field(values, self.field.facts)
        except DataError as failure:
            raise CheckError(f"its own values are refused: {failure}") from failure


@rule("draw from `rng` alone, and return values that `field` describes as the field that was given.")
def made_up(fixture: ModalityFixture) -> None:
    """Made-up examples fit the field, differ from each other, and follow from the random generator."""
    values, field = fixture.made_up(), fixture.field
    described = fixture.described(values)
    if (len(values), described.modality, described.shape) != (COUNT, field.modality, field.shape):
        raise CheckError(f"asked for {COUNT} of {field}, it makes up {len(values)} of {described}")
    if not np.array_equal(values, fixture.made_up()):
        raise CheckError("the same random generator makes up different examples")
    if all(np.array_equal(values[0], other) for other in values[1:]):
        raise CheckError("all made-up examples are the same")


@rule("let `encode` return float32 [N, *field.shape] in [-1, 1], or int64 for what networks look up.")
def encode(fixture: ModalityFixture) -> None:
    """Networks see finite numbers of the field's shape, in [-1, 1] unless they are indices."""
    values = torch.from_numpy(fixture.made_up())
    encoded = fixture.modality.encode(values.clone(), fixture.field)
    if encoded.shape != (COUNT, *fixture.field.shape):
        raise CheckError(f"`encode` returns {list(encoded.shape)} for {COUNT} of {fixture.field}")
    if encoded.dtype not in (torch.float32, torch.int64):
        raise CheckError(f"`encode` returns {encoded.dtype}")
    if encoded.dtype == torch.float32 and not (encoded.abs() <= 1).all():
        raise CheckError(f"`encode` returns values from {float(encoded.min()):.4g} to {float(encoded.max()):.4g}")


@rule("let `decode` undo `encode`, round what is whole, and bound what has bounds.")
def decode(fixture: ModalityFixture) -> None:
    """Decoding gives encoded examples back, and valid ones for any outputs of any float type."""
    field, values = fixture.field, torch.from_numpy(fixture.made_up())
    encoded = fixture.modality.encode(values.clone(), field)
    decoded = fixture.modality.decode(encoded, field)
    if decoded.dtype != values.dtype or decoded.shape != values.shape or not _equal(decoded, values):
        raise CheckError("`decode` does not give back what was encoded")
    if encoded.dtype != torch.float32:
        return
    for dtype in FLOATS:
        outputs = torch.linspace(-1.5, 1.5, encoded.numel()).view(encoded.shape).to(dtype)
        made = fixture.modality.decode(outputs, field)
        if made.dtype != values.dtype:
            raise CheckError(f"`decode` returns {made.dtype} for outputs of {dtype}, where data are {values.dtype}")
        fixture.described(made.numpy())


@rule("return uint8 images of 1, 3 or 4 channels; override `picture` where examples have no image of their own.")
def picture(fixture: ModalityFixture) -> None:
    """Pictures, where there are any, are uint8 images."""
    field, values = fixture.field, torch.from_numpy(fixture.made_up())
    images = fixture.modality.images(values, field)
    if images is not None and (images.dim() != 4 or len(images) != COUNT or not _is_picture(images[0])):
        raise CheckError(f"`images` returns {images.dtype} {list(images.shape)} for {COUNT} examples")
    if images is None and type(fixture.modality).picture is Modality.picture:
        return
    shown = fixture.modality.picture(values, field, 3, real=values)
    if not _is_picture(shown):
        raise CheckError(f"`picture` returns {shown.dtype} {list(shown.shape)}")


@rule("write to the path that is given, and to no other; set `suffix` to None if there are no files.")
def write(fixture: ModalityFixture) -> None:
    """Files, if there are any, are written where they are asked for, one or several examples each."""
    suffix = fixture.modality.suffix
    if suffix is None:
        return
    if not suffix.startswith("."):
        raise CheckError(f"suffix is {suffix!r}, expected a dot and letters")
    values = torch.from_numpy(fixture.made_up())
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, COUNT):
            path = Path(folder) / f"{count}{suffix}"
            fixture.modality.write(values[:count], fixture.field, path, {"run": "check", "step": 1})
            if not path.is_file() or not path.stat().st_size:
                raise CheckError(f"`write` makes no file for {count} examples")
        if len(list(Path(folder).iterdir())) != 2:
            raise CheckError("`write` leaves other files behind")


def _equal(decoded: Tensor, values: Tensor) -> bool:
    if not values.dtype.is_floating_point:
        return decoded.equal(values)
    return bool(torch.allclose(decoded, values, rtol=TOLERANCE, atol=TOLERANCE * float(values.abs().max())))


def _is_picture(image: Tensor) -> bool:
    return image.dtype == torch.uint8 and image.dim() == 3 and image.shape[0] in (1, 3, 4) and 0 not in image.shape
