"""Decode image files to arrays. Imports numpy and PIL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "ICO")
"""Formats that hold pixels and nothing else: PIL would start other programs for some."""
GREY_MODES = {"1", "L", "LA", "La", "I", "F"}


def formats() -> list[str]:
    """The formats that this PIL can open."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def endings() -> set[str]:
    """The file endings, in lower case, of these formats."""
    known = set(formats())
    return {ending for ending, kind in Image.registered_extensions().items() if kind in known}


@dataclass(frozen=True)
class Header:
    """What a file says of itself: (height, width) upright, whether its pixels are grey and whether of 16 bits."""

    size: tuple[int, int]
    grey: bool
    deep: bool


def header(file: IO[bytes]) -> Header:
    """The header of an image file. RGB files with only grey pixels are not grey."""
    with Image.open(file, formats=formats()) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) >= 5
        deep = image.mode.startswith("I")
        grey = image.mode in GREY_MODES or deep
        return Header((width, height) if turned else (height, width), grey, deep)


@dataclass(frozen=True)
class Form:
    """How images are stored: (height, width), grey or RGB, 8 or 16 bits, and the range of 16-bit pixels."""

    size: tuple[int, int]
    grey: bool
    bits: int = 8
    range: tuple[int, int] = (0, 65535)

    @property
    def channels(self) -> int:
        return 1 if self.grey else 3

    @property
    def dtype(self) -> npt.DTypeLike:
        return np.uint16 if self.bits == 16 else np.uint8


@dataclass(frozen=True)
class Pixels:
    """An image [1 or 3, height, width], its size in the file, whether it lost its colour, and a 16-bit maximum."""

    values: npt.NDArray[np.uint8 | np.uint16]
    size: tuple[int, int]
    coloured: bool
    largest: int | None = None


def read(file: IO[bytes], form: Form) -> Pixels:
    """The file's first frame in this form.

    Images are rotated by their EXIF orientation, composited on white if transparent, scaled with antialiasing so that
    they cover the size, and cropped to the centre. Raises whatever PIL raises for unreadable files.
    """
    with Image.open(file, formats=formats()) as opened:
        ImageOps.exif_transpose(opened, in_place=True)
        image: Image.Image = opened
        largest, deep = None, image.mode.startswith("I")
        coloured = form.grey and not deep and image.mode not in GREY_MODES
        if image.mode == "F":
            raise ValueError("float pixels have no defined range")
        if deep:
            image, largest = _scaled(image, form)
        elif image.has_transparency_data:
            colour = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
        if image.mode != "F":
            image = image.convert("L" if form.grey else "RGB")
    height, width = form.size
    size = (image.height, image.width)
    if size != form.size:
        image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    values = np.asarray(image)
    if form.bits == 16:
        scale = 1 if image.mode == "F" else 257
        values = (values.astype(np.float64) * scale).round().clip(0, 65535).astype(np.uint16)
    return Pixels(values[None] if values.ndim == 2 else values.transpose(2, 0, 1), size, coloured, largest)


def _scaled(image: Image.Image, form: Form) -> tuple[Image.Image, int]:
    """A 16-bit grey image with the form's range as full scale: 8-bit grey, or float 0..65535 for 16 bits."""
    values = np.asarray(image).astype(np.int64)
    largest = int(values.max())
    if values.min() < 0 or largest > 65535:
        raise ValueError("pixels exceed 16 bits")
    low, high = form.range
    if (low, high) != (0, 65535):
        values = ((values.clip(low, high) - low) * 65535 + (high - low) // 2) // (high - low)
    if form.bits == 16 and form.grey:
        return Image.fromarray(values.astype(np.float32)), largest
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)), largest
