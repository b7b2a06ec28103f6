"""Decode clips to frames: animated images, videos, and folders of images. Imports numpy and PIL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, ImageSequence

from ganzoo.errors import DataError
from ganzoo_plugins.datasets.files import UserFile
from ganzoo_plugins.datasets.pixels import GREY_MODES, formats

ANIMATED = {".gif": "GIF", ".apng": "PNG", ".webp": "WEBP"}
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".avi": "avi", ".webm": "matroska", ".mkv": "matroska"}
"""Endings of videos, and the only container that a file of this ending may be."""
DEFAULT_FPS = 10.0
"""Of folders of images, and of animations that state none."""


@dataclass(frozen=True)
class Clip:
    """A file of frames, or the still images of one folder in the order of their names; `name` is that of either."""

    name: str
    files: tuple[UserFile, ...]

    @property
    def ending(self) -> str:
        return self.files[0].ending


@dataclass(frozen=True)
class Facts:
    """(height, width) of a clip's frames, whether they are grey, and how many are shown a second."""

    size: tuple[int, int]
    grey: bool
    fps: float


def facts_of(clip: Clip) -> Facts:
    """The facts of a clip, from its first frame. Raises whatever the decoders raise for unreadable files."""
    with clip.files[0].open() as stream:
        if clip.ending in CONTAINERS:
            return _facts_of_video(stream, clip.ending)
        known = [ANIMATED[clip.ending]] if clip.ending in ANIMATED else formats()
        with Image.open(stream, formats=known) as image:
            grey = image.mode in GREY_MODES or (image.mode == "P" and _is_grey_palette(image))
            return Facts((image.height, image.width), grey, 1 / _seconds(image))


def frames_of(clip: Clip, size: tuple[int, int], grey: bool, fps: float) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the frames uint8 [1 or 3, height, width], scaled so that they cover `size`, and cropped to the centre.

    Frames are repeated or left out so that `fps` of them are a second; those of a folder are taken as they are.
    Raises whatever the decoders raise for unreadable files.
    """
    end = 0.0
    for image, seconds in _images(clip, fps):
        start, end = end, end + seconds
        times = round(end * fps) - round(start * fps)
        if not times:
            continue
        if image.has_transparency_data:
            colour = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
        image = image.convert("L" if grey else "RGB")
        if (image.height, image.width) != size:
            image = ImageOps.fit(image, size[::-1], Image.Resampling.LANCZOS)
        values = np.asarray(image)
        yield from [values[None] if grey else values.transpose(2, 0, 1)] * times


def _images(clip: Clip, fps: float) -> Iterator[tuple[Image.Image, float]]:
    """Every image of a clip and how many seconds it is shown."""
    if clip.ending in CONTAINERS:
        with clip.files[0].open() as stream, _library().open(stream, format=CONTAINERS[clip.ending]) as container:
            rate = float(container.streams.video[0].average_rate or fps)
            for frame in container.decode(video=0):
                yield frame.to_image(), 1 / rate
    elif clip.ending in ANIMATED:
        with clip.files[0].open() as stream, Image.open(stream, formats=[ANIMATED[clip.ending]]) as image:
            for frame in ImageSequence.Iterator(image):
                yield frame, _seconds(frame)
    else:
        for file in clip.files:
            with file.open() as stream, Image.open(stream, formats=formats()) as image:
                yield ImageOps.exif_transpose(image), 1 / fps


def _facts_of_video(stream: IO[bytes], ending: str) -> Facts:
    with _library().open(stream, format=CONTAINERS[ending]) as container:
        video = container.streams.video[0]
        return Facts((video.height, video.width), video.format.name.startswith("gray"), float(video.average_rate or 25))


def _library() -> Any:
    try:
        import av
    except ImportError:
        raise DataError("videos need PyAV: pip install 'ganzoo-core[video]'; GIF, APNG and WebP do not") from None
    return av


def _seconds(image: Image.Image) -> float:
    """How long a frame is shown; equal ones that follow each other may be stored as one."""
    return float(image.info.get("duration") or 1000 / DEFAULT_FPS) / 1000


def _is_grey_palette(image: Image.Image) -> bool:
    colours = np.array(image.getpalette("RGB") or [0]).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def clips_of(files: Sequence[UserFile], still: set[str]) -> tuple[list[Clip], list[UserFile]]:
    """The clips in `files`, sorted by name, and the files that are part of none.

    Images with an ending in `still` that have a folder of their own make one clip of that folder.
    """
    clips, others = [], []
    folders: dict[str, list[UserFile]] = {}
    for file in files:
        folder = file.name.rpartition("/")[0]
        if file.ending in ANIMATED or file.ending in CONTAINERS:
            clips.append(Clip(file.name, (file,)))
        elif file.ending in still and folder:
            folders.setdefault(folder, []).append(file)
        else:
            others.append(file)
    clips += [Clip(folder, tuple(sorted(frames, key=lambda file: file.name))) for folder, frames in folders.items()]
    return sorted(clips, key=lambda clip: clip.name), others
