"""Pictures: grids of images, scatter plots of points, written as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganzoo.core.errors import GanzooError
from ganzoo.core.files import atomic

MARGIN = 1.25
"""A scatter plot shows so many times the data's scale to each side."""
COLOURS = {"real": (214, 218, 224), "made": (196, 30, 58)}


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


def scatter(points: Tensor, scale: float, real: Tensor | None = None, side: int = 480) -> Tensor:
    """Points [N, D >= 2] by their first two coordinates, red on white: a picture uint8 [3, side, side].

    `real` points lie beneath them in grey. Where more points fall, the colour is fuller. The picture shows the square
    of `scale` times MARGIN to each side of the origin; what is outside is not drawn.
    """
    canvas = np.full((side, side, 3), 255.0)
    for cloud, colour in ((real, COLOURS["real"]), (points, COLOURS["made"])):
        if cloud is not None:
            cover = _density(cloud.double().numpy()[:, :2], scale * MARGIN, side)[..., None]
            canvas += cover * (np.array(colour) - canvas)
    return torch.from_numpy(canvas.round().astype(np.uint8)).permute(2, 0, 1)


def _density(points: np.ndarray, reach: float, side: int) -> np.ndarray:
    """How full each pixel of [side, side] is, 0..1, where every point [N, 2] is a dot of 3 by 3 pixels."""
    edges = np.linspace(-reach, reach, side + 1)
    counts = np.histogram2d(-points[:, 1], points[:, 0], bins=(edges, edges))[0]
    padded = np.pad(counts, 1)
    dots = np.sum([padded[i : i + side, j : j + side] for i in range(3) for j in range(3)], axis=0)
    return np.asarray(1 - 0.5**dots)


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
    try:
        with atomic(path) as temporary:
            to_pil(picture).save(temporary, format="PNG")
    except OSError as failure:
        raise GanzooError(f"Cannot write {path}: {failure}") from failure
