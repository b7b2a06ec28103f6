"""Films of pictures: GIF and APNG by Pillow, MP4 by PyAV."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.files import atomic
from ganzoo.data.imaging import to_pil

ENDINGS = (".gif", ".apng", ".mp4")
MIN_SIDE = 256
"""Smaller frames are enlarged by a whole number, up to at least half of this."""
MAX_FPS = {".gif": 50, ".apng": 1000, ".mp4": 240}
"""Browsers slow down GIFs of more than 50 frames a second."""


def check_possible(path: Path, fps: float) -> None:
    """Raise UsageError unless `write` can write a film to `path`: an unknown ending, a missing package."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(f"{path}: films are written as {', '.join(ENDINGS)}. Choose {path.with_suffix('.gif')}.")
    if not 0 < fps <= MAX_FPS[ending]:
        raise UsageError(f"{path}: expected more than 0 and at most {MAX_FPS[ending]} frames a second, not {fps:g}.")
    if ending == ".mp4":
        try:
            import av  # noqa: F401
        except ImportError:
            raise UsageError(
                "MP4 needs PyAV. Install it with: pip install 'ganzoo-core[video]'. GIF and APNG need nothing."
            ) from None


def write(
    frames: Iterable[Tensor],
    path: Path,
    fps: float = 30,
    text: Mapping[str, object] | None = None,
    hold: float = 0,
    enlarge: bool = True,
) -> None:
    """Write pictures uint8 [C, H, W] of one size, at least one, as a film that repeats, atomically.

    The ending of `path` decides on the format; see `check_possible`. `text` is stored in the file as JSON, in its
    comment, and the last frame stays for `hold` seconds longer. Small frames are enlarged
    if `enlarge`.
    """
    check_possible(path, fps)
    pictures = map(to_pil, frames)
    images = map(_enlarged, pictures) if enlarge else pictures
    comment = json.dumps(dict(text or {}))
    try:
        with atomic(path) as temporary:
            if path.suffix.lower() == ".mp4":
                _write_mp4(images, temporary, fps, comment, hold)
            else:
                _write_pillow(list(images), temporary, path.suffix.lower(), fps, comment, hold)
    except OSError as failure:
        raise GanzooError(f"Cannot write {path}: {failure.strerror or failure}") from failure


def _write_pillow(images: list[Image.Image], path: Path, ending: str, fps: float, comment: str, hold: float) -> None:
    step = 10 if ending == ".gif" else 1  # GIF counts in hundredths of a second
    times = [round(i * 1000 / fps / step) * step for i in range(len(images) + 1)]
    durations = [end - start for start, end in zip(times, times[1:])]
    durations[-1] += round(hold * 1000 / step) * step
    first, *rest = images
    options = {"save_all": True, "append_images": rest, "duration": durations, "loop": 0}
    if ending == ".gif":
        first.save(path, "GIF", comment=comment.encode(), optimize=True, **options)
    else:
        info = PngInfo()
        info.add_itxt("Comment", comment)
        first.save(path, "PNG", pnginfo=info, **options)


def _write_mp4(images: Iterator[Image.Image], path: Path, fps: float, comment: str, hold: float) -> None:
    from fractions import Fraction

    import av

    first = next(images)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "18"})
        stream.width, stream.height = (side + side % 2 for side in first.size)  # H.264 halves the colours' resolution
        stream.pix_fmt = "yuv420p"
        for image in _held(itertools.chain([first], images), round(hold * fps)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(_even(image)))))
        container.mux(stream.encode())


def _held(images: Iterable[Image.Image], times: int) -> Iterator[Image.Image]:
    """The images, the last of them `times` times more."""
    for image in images:
        yield image
    yield from itertools.repeat(image, times)


def _even(image: Image.Image) -> Image.Image:
    """An RGB image whose sides are even, extended in black."""
    result = Image.new("RGB", (image.width + image.width % 2, image.height + image.height % 2))
    result.paste(image.convert("RGB"))
    return result


def _enlarged(image: Image.Image) -> Image.Image:
    factor = max(1, MIN_SIDE // max(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
