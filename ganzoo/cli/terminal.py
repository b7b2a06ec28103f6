"""Images and points drawn with characters: two pixels in each, an upper and a lower half block."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from torch import Tensor

from ganzoo.core.spec import DataSpec
from ganzoo.data.images import resize
from ganzoo.data.imaging import grid, interleave, scatter

PREVIEW = {"images": 10, "points": 1000}
"""How many samples are drawn."""
PLOT_SIDE = 48


def draw(kinds: Sequence[Tensor], spec: DataSpec, console: Console, columns: int = 5) -> None:
    """Print some images [N, C, H, W] in rows, several kinds below each other, or points [N, D] as a plot."""
    if spec.kind == "points":
        points = kinds[0][: PREVIEW["points"]]
        return draw_images(255 - scatter(points, spec.scale, side=PLOT_SIDE)[None], console, columns=1)
    columns = min(columns, len(kinds[0]))
    shown = [images[: columns if len(kinds) > 1 else PREVIEW["images"]] for images in kinds]
    draw_images(interleave(shown, columns), console, columns)


def draw_images(images: Tensor, console: Console, columns: int = 5) -> None:
    """Print uint8 images [N, C, H, W] in rows of `columns`, made small enough for the console's width.

    With colours every pixel keeps its own; without, bright and dark pixels are told apart by a full or an empty block.
    """
    side = min(images.shape[-1], (console.width - 1) // columns - 1)
    if side < 4 or len(images) == 0:
        return
    small = resize(images.numpy(), side)
    picture = grid(Tensor.new_tensor(images, small), min(columns, len(images)), gap=1)
    if picture.shape[0] not in (1, 3):
        picture = picture[:1]
    rgb = picture.expand(3, -1, -1).permute(1, 2, 0)
    if rgb.shape[0] % 2:
        rgb = rgb[1:]  # the first row is a gap
    rows = rgb.tolist()
    unicode = "utf" in (console.encoding or "").lower()
    for upper, lower in zip(rows[0::2], rows[1::2]):
        line = Text(no_wrap=True, end="\n")
        for top, bottom in zip(upper, lower):
            if console.color_system is None or console.no_color:
                line.append(_block(_bright(top), _bright(bottom), unicode))
            else:
                line.append("▀", f"rgb({','.join(map(str, top))}) on rgb({','.join(map(str, bottom))})")
        console.print(line, crop=True)


def _bright(pixel: list[int]) -> bool:
    return sum(pixel) > 3 * 110


def _block(top: bool, bottom: bool, unicode: bool) -> str:
    if not unicode:
        return "#" if top or bottom else " "
    return {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}[top, bottom]
