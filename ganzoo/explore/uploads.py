"""Images that a browser sends: decoded like any file that may come from anywhere."""

from __future__ import annotations

import io
import warnings

from PIL import Image
from torch import Tensor

from ganzoo.core.errors import UsageError
from ganzoo.data import imaging

MAX_BYTES = 16 << 20
MAX_PIXELS = 1 << 25
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def decode(content: bytes, shape: tuple[int, ...]) -> Tensor:
    """The image in `content` as the GAN's images are, uint8 of `shape`, [1 or 3, H, W].

    It is turned by its EXIF orientation, put on white if it is transparent, scaled, and cropped to its centre. Raises
    UsageError if it is not an image, or has too many pixels, which is checked before they are decoded.
    """
    if shape[0] not in (1, 3):
        raise UsageError(f"Images have 1 or 3 channels, and those of this GAN have {shape[0]}.")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            warnings.simplefilter("error")  # Pillow only warns of damage that it can read past
            if opened.width * opened.height > MAX_PIXELS:
                raise UsageError(f"This image has more than {MAX_PIXELS / 1e6:.0f} million pixels.")
            return imaging.fitted(opened, shape)
    except UsageError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, Warning, Image.DecompressionBombError, MemoryError):
        raise UsageError(
            f"This file is not an image that can be read. Choose a file of one of these formats: {', '.join(FORMATS)}."
        ) from None
