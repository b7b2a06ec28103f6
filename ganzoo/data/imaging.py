"""Grids of images and scatter plots of points, as PNG files."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ganzoo.core.errors import GanzooError
from ganzoo.core.files import atomic, open_regular

MARGIN = 1.25
"""A scatter plot reaches this many times the data's scale from the origin in each direction."""
CAPTION_HEIGHT = 20
COLOURS = {"real": (214, 218, 224), "generated": (196, 30, 58)}


def grid(images: Tensor, columns: int, gap: int = 2) -> Tensor:
    """Arrange uint8 images [N, C, H, W] row by row, `gap` black pixels apart: a picture uint8 [C, height, width]."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    picture = torch.zeros(channels, rows * (height + gap) + gap, columns * (width + gap) + gap, dtype=torch.uint8)
    for i, image in enumerate(images):
        top = gap + (i // columns) * (height + gap)
        left = gap + (i % columns) * (width + gap)
        picture[:, top : top + height, left : left + width] = image
    return picture


def scatter(points: Tensor, scale: float, real: Tensor | None = None, side: int = 480) -> Tensor:
    """Plot points [N, D >= 2] by their first two coordinates, red on white: a picture uint8 [3, side, side].

    `real` points are drawn in grey beneath them. The more points overlap, the more saturated the colour. The picture
    covers the square of `scale` times MARGIN in each direction from the origin; points outside are not drawn.
    """
    canvas = np.full((side, side, 3), 255.0)
    for cloud, colour in ((real, COLOURS["real"]), (points, COLOURS["generated"])):
        if cloud is not None:
            cover = _density(cloud.double().numpy()[:, :2], scale * MARGIN, side)[..., None]
            canvas += cover * (np.array(colour) - canvas)
    return torch.from_numpy(canvas.round().astype(np.uint8)).permute(2, 0, 1)


def _density(points: np.ndarray, reach: float, side: int) -> np.ndarray:
    """Opacity of each pixel [side, side], 0..1, if every point [N, 2] is a dot of 3 by 3 pixels."""
    edges = np.linspace(-reach, reach, side + 1)
    counts = np.histogram2d(-points[:, 1], points[:, 0], bins=(edges, edges))[0]
    padded = np.pad(counts, 1)
    dots = np.sum([padded[i : i + side, j : j + side] for i in range(3) for j in range(3)], axis=0)
    return np.asarray(1 - 0.5**dots)


def interleave(kinds: Sequence[Tensor], columns: int) -> Tensor:
    """Order images of several kinds, each uint8 [N, C, H, W], so that `grid` alternates rows of the kinds.

    That is `columns` images of the first kind, `columns` of the second, and so on, then the next `columns` of each;
    black images fill incomplete rows. Smaller images are enlarged without interpolation, and grey ones become RGB, if
    any kind is larger or RGB.
    """
    size = [max(images.shape[i] for images in kinds) for i in (2, 3)]
    channels = max(images.shape[1] for images in kinds)
    missing = -len(kinds[0]) % columns
    kinds = [_with_channels(_enlarged(images, size), channels) for images in kinds]
    kinds = [torch.cat([images, images.new_zeros(missing, *images.shape[1:])]) for images in kinds]
    rows = [torch.stack(parts) for parts in zip(*(images.split(columns) for images in kinds))]
    return torch.cat([row.flatten(0, 1) for row in rows])


def _enlarged(images: Tensor, size: list[int]) -> Tensor:
    """The images repeated pixel by pixel as often as fits into `size`, and padded with black."""
    height, width = images.shape[2:]
    factor = min(size[0] // height, size[1] // width)
    images = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    return torch.nn.functional.pad(images, (0, size[1] - factor * width, 0, size[0] - factor * height))


def _with_channels(images: Tensor, channels: int) -> Tensor:
    """Grey images as RGB, and opaque ones with an alpha channel, if there are to be 3 or 4 channels."""
    if channels > 1 and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[1] < channels:
        images = torch.cat([images, images.new_full((len(images), 1, *images.shape[2:]), 255)], 1)
    return images


def to_pil(picture: Tensor) -> Image.Image:
    """Convert a picture uint8 [C, H, W] with 1, 3 or 4 channels, or uint16 with one, to a PIL image."""
    pixels = picture.permute(1, 2, 0).contiguous().numpy()
    if picture.shape[0] not in (1, 3, 4):
        raise GanzooError(f"A picture has 1, 3 or 4 channels, not {picture.shape[0]}.")
    return Image.fromarray(pixels[:, :, 0] if picture.shape[0] == 1 else pixels)


def save(picture: Tensor, path: Path, text: Mapping[str, object] | None = None) -> None:
    """Write a picture uint8 [C, H, W] to `path` as PNG, atomically, with `text` as its text chunks."""
    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, str(value))
    try:
        with atomic(path) as temporary:
            to_pil(picture).save(temporary, format="PNG", pnginfo=info)
    except OSError as failure:
        raise GanzooError(f"Cannot write {path}: {failure.strerror or failure}") from failure


def read(path: Path) -> Tensor:
    """The picture in a file that may come from anywhere, uint8 [1 or 3, H, W]: grey if its mode is, else RGB.

    Raises GanzooError if it is no picture, or has far more pixels than pictures have.
    """
    with _opened(path) as image:
        return _to_tensor(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def read_fitted(path: Path, shape: tuple[int, ...]) -> Tensor:
    """The picture in a file that may come from anywhere, as an image uint8 of `shape`, (1 or 3, height, width).

    It is rotated by its EXIF orientation, put on white if transparent, cropped to its centre and scaled. Raises
    GanzooError as `read` does, or for another number of channels.
    """
    if shape[0] not in (1, 3):
        raise GanzooError(f"A picture has 1 or 3 channels, and these images have {shape[0]}.")
    with _opened(path) as opened:
        return fitted(opened, shape)


def fitted(picture: Image.Image, shape: tuple[int, ...]) -> Tensor:
    """The picture as an image uint8 of `shape`, as `read_fitted` describes."""
    channels, height, width = shape
    image = ImageOps.exif_transpose(picture)
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    image = image.convert("L" if channels == 1 else "RGB")
    return _to_tensor(ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with open_regular(path) as file, warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow only warns of a picture with too many pixels
            yield Image.open(file)
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else failure
        raise GanzooError(f"{path} cannot be read as a picture: {reason}") from failure


def _to_tensor(image: Image.Image) -> Tensor:
    pixels = np.array(image)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())


def captioned(picture: Tensor, text: str) -> Tensor:
    """A picture uint8 [C, H, W] with `text` beneath it, in black on white."""
    image = to_pil(picture)
    result = Image.new(image.mode, (image.width, image.height + CAPTION_HEIGHT), "white")
    result.paste(image)
    ImageDraw.Draw(result).text((4, image.height + 2), text, fill="black", font=ImageFont.load_default(14))
    return _to_tensor(result)


def histogram(values: Tensor, real: Tensor | None, bins: int, low: float, high: float, side: int) -> Tensor:
    """A histogram of numbers [N], red outlines over the grey bars of `real` ones: a picture uint8 [3, side, side]."""
    picture = np.full((side, side, 3), 255, np.uint8)
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    sides = {"real": real, "generated": values}
    shares = {
        name: np.histogram(side.numpy(), edges)[0] / len(side)
        for name, side in sides.items()
        if side is not None and len(side)
    }
    peak = max([float(share.max()) for share in shares.values()] + [1e-9])
    bounds = np.linspace(2, side - 2, bins + 1).astype(int)
    for name, share in shares.items():
        for i in range(bins):
            top = side - 2 - round(share[i] / peak * (side - 6))
            bar = picture[top : side - 2, bounds[i] : max(bounds[i] + 1, bounds[i + 1] - 1)]
            if name == "real":
                bar[:] = COLOURS[name]
            else:
                picture[top : top + 2, bounds[i] : bounds[i + 1]] = COLOURS[name]
    return torch.from_numpy(picture).permute(2, 0, 1)
