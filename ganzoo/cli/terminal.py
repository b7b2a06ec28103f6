"""Preview of images and points in the terminal: every character shows two pixels, one above the other."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from torch import Tensor

from ganzoo.core.spec import Field
from ganzoo.data.images import resize
from ganzoo.data.imaging import grid, interleave
from ganzoo.data.modality import get_modality

PREVIEW, PLOTTED = 10, 1000
"""Number of samples shown: in a grid, or in one plot."""
PLOT_SIDE = 48
BLOCKS = {"▀": (1.0, 0.0), "▄": (0.0, 1.0)} | {shade: (i / 4, i / 4) for i, shade in enumerate(" ░▒▓█")}
"""Brightness of the upper and the lower half of each character, on a dark background."""
ASCII = {shade: (i / 9, i / 9) for i, shade in enumerate(" .:-=+*#%@")}

Pixel = list[int]


def draw(kinds: Sequence[tuple[Tensor, Field]], console: Console, columns: int = 5) -> None:
    """Print examples as a data set stores them: in rows, each kind below the one before it, or one plot of the first.

    Only the first samples are shown: `columns` of each of several kinds, else as many as `PREVIEW` says.
    """
    values, field = kinds[0]
    modality = get_modality(field.modality)
    if not modality.in_grid:
        plot = modality.picture(values[:PLOTTED], field, columns, side=PLOT_SIDE)
        return draw_images((plot if _has_colours(console) else 255 - plot)[None], console, columns=1)
    count = columns if len(kinds) > 1 else PREVIEW
    shown = [get_modality(field.modality).images(values[:count], field) for values, field in kinds]
    images = [part for part in shown if part is not None and len(part)]
    if images:
        columns = min(columns, len(images[0]))
        draw_images(interleave(images, columns), console, columns)


def draw_images(images: Tensor, console: Console, columns: int = 5) -> None:
    """Print uint8 images [N, C, H, W] in rows of `columns`, scaled down to the width of the console.

    Without colours, brightness is shown by shaded and half blocks, or by ASCII characters if the console has no UTF-8.
    """
    height, width = images.shape[2:]
    side = min(width, (console.width - 1) // columns - 1)
    if side < 4 or len(images) == 0:
        return
    small = resize(images.numpy(), (max(1, round(height * side / width)), side))
    picture = grid(Tensor.new_tensor(images, small), min(columns, len(images)), gap=1)
    if picture.shape[0] not in (1, 3):
        picture = picture[:1]
    rgb = picture.expand(3, -1, -1).permute(1, 2, 0)
    if rgb.shape[0] % 2:
        rgb = rgb[1:]  # the first row is a gap
    rows = rgb.tolist()
    colours = _has_colours(console)
    shades = BLOCKS if "utf" in (console.encoding or "").lower() else ASCII
    for upper, lower in zip(rows[0::2], rows[1::2]):
        line = Text(no_wrap=True, end="\n")
        for top, bottom in zip(upper, lower):
            if colours:
                line.append("▀", f"rgb({','.join(map(str, top))}) on rgb({','.join(map(str, bottom))})")
            else:
                line.append(_nearest(_brightness(top), _brightness(bottom), shades))
        console.print(line, crop=True)


def _has_colours(console: Console) -> bool:
    return console.color_system is not None and not console.no_color


def _brightness(pixel: Pixel) -> float:
    return sum(pixel) / (3 * 255)


def _nearest(top: float, bottom: float, shades: dict[str, tuple[float, float]]) -> str:
    """The character whose halves are closest to these in brightness, 0..1."""
    return min(shades, key=lambda shade: (shades[shade][0] - top) ** 2 + (shades[shade][1] - bottom) ** 2)
