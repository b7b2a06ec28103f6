"""Decode image files to square uint8 images. Imports numpy and PIL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

GREY_MODES = {"1", "L", "LA", "La", "I", "F"}


def extensions() -> set[str]:
    """The file endings, in lower case, of the formats that PIL can open."""
    return {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def is_grey(path: Path) -> bool:
    """Whether the file's header declares grey pixels; RGB files with only grey pixels do not count."""
    with Image.open(path) as image:
        return image.mode in GREY_MODES or image.mode.startswith("I;16")


def read(files: Sequence[Path], size: int, grey: bool) -> npt.NDArray[np.uint8]:
    """The files' first frames, concatenated to uint8 [1 or 3 per file, size, size].

    Images are rotated by their EXIF orientation, composited on white if transparent, scaled with antialiasing so that
    the shorter side is `size`, and cropped to the centre. Raises whatever PIL raises for unreadable files, and
    ValueError for files of different aspect ratios, whose crops would not match.
    """
    images = []
    for file in files:
        with Image.open(file) as opened:
            images.append(_to_mode(ImageOps.exif_transpose(opened), "L" if grey else "RGB"))
    first, last = images[0], images[-1]
    if abs(first.width * last.height - last.width * first.height) > max(first.size) + max(last.size):  # beyond rounding
        raise ValueError(f"its images differ in aspect ratio: {first.size} and {last.size}")
    fitted = [np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)) for image in images]
    return np.concatenate([pixels[None] if grey else pixels.transpose(2, 0, 1) for pixels in fitted])


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == "F":
        raise ValueError("float pixels have no defined range")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("pixels exceed 16 bits")
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return image.convert(mode)
