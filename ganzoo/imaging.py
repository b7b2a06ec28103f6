"""Pictures: grids of images, written as PNG."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
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


def interleave(kinds: Sequence[Tensor], columns: int) -> Tensor:
    """Images of several kinds, each uint8 [N, C, H, W], in the order in which `grid` puts them below each other.

    `columns` of the first kind, then those of the second, and so on, then the next `columns` of each; black images fill
    incomplete rows. Grey kinds become RGB where others are.
    """
    channels = max(images.shape[1] for images in kinds)
    missing = -len(kinds[0]) % columns
    kinds = [images.expand(-1, channels, -1, -1) for images in kinds]
    kinds = [torch.cat([images, images.new_zeros(missing, *images.shape[1:])]) for images in kinds]
    rows = [torch.stack(parts) for parts in zip(*(images.split(columns) for images in kinds))]
    return torch.cat([row.flatten(0, 1) for row in rows])


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
