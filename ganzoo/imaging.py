"""Pictures: grids of images, written as PNG."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ganzoo.errors import GanzooError


def grid(images: Tensor, columns: int, gap: int = 2) -> Tensor:
    """uint8 images [N, C, H, W] as one picture uint8 [C, height, width], row by row, `gap` black pixels apart."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    picture = torch.zeros(channels, rows * (height + gap) + gap, columns * (width + gap) + gap, dtype=torch.uint8)
    for i, image in enumerate(images):
        top = gap + (i // columns) * (height + gap)
        left = gap + (i % columns) * (width + gap)
        picture[:, top : top + height, left : left + width] = image
    return picture


def to_pil(picture: Tensor) -> Image.Image:
    """A picture uint8 [C, H, W] with 1, 3 or 4 channels as a PIL image."""
    pixels = picture.permute(1, 2, 0).contiguous().numpy()
    if picture.shape[0] not in (1, 3, 4):
        raise GanzooError(f"A picture has 1, 3 or 4 channels, not {picture.shape[0]}.")
    return Image.fromarray(pixels[:, :, 0] if picture.shape[0] == 1 else pixels)


def save(picture: Tensor, path: Path) -> None:
    """Write a picture uint8 [C, H, W] as PNG; `path` appears complete or not at all."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        to_pil(picture).save(temporary, format="PNG")
        os.replace(temporary, path)
    except OSError as failure:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise GanzooError(f"Cannot write {path}: {failure}") from failure
