"""A folder or zip archive of clips: `video:PATH`."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from ganzoo.data.parallel import in_order
from ganzoo.errors import DataError, GanzooError, UsageError
from ganzoo.plugin import DataKind, DataLocation, Dataset, Split
from ganzoo_plugins.datasets import files, options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ganzoo.data import ArrayData
    from ganzoo_plugins.datasets.clips import Clip, Facts

OPTIONS = {"frames": "N", "size": "HEIGHTxWIDTH"}
FRAMES = 16
"""Frames of a clip, unless most files have fewer."""
MAX_SIZE = 64
"""Largest side of frames that are taken as they are."""
LONG_BYTES = 1 << 26
"""Files with more frames than this are not decoded by a worker, which would send all frames at once."""
FORMAT = 1


class Video(Dataset):
    """Clips in PATH, or in sub-folders, which are classes; folders `train` and `test`, if present, are the splits.

    A clip is a file (GIF, APNG, WebP; MP4 and others with the library PyAV) or a folder of images, its frames. Longer
    ones are cut into clips of the same number of frames, which follow each other.
    """

    api_version = 2
    summary = "your own clips: GIFs, videos or folders of frames, a folder or zip"
    source = "yours"
    kind: ClassVar[DataKind] = "video"
    argument = "PATH"

    def absolute(self, argument: str) -> str:
        return options.absolute(argument)

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ArrayData:
        from ganzoo.data import ArrayData
        from ganzoo.data.cache import read_arrays, write_arrays
        from ganzoo_plugins.datasets.clips import clips_of
        from ganzoo_plugins.datasets.pixels import endings

        chosen, path = options.parse("video", argument, OPTIONS)
        size, _ = options.image_form("video", chosen, None)
        frames = _frames(chosen)
        parts = files.split_files(files.listing(path), split)
        (found, others), (train, _) = (clips_of(part, endings()) for part in (parts.files, parts.train))
        if not found:
            raise DataError(
                f"{parts.folder} contains no clips: expected GIF, APNG, WebP or video files, or a folder of images "
                "for each clip."
            )
        shape, fps, notes = _form(train, frames, size)
        labels, names = _classes(found, train)
        home = where.cache / "video" / _key(found, labels, f"{shape} {fps}")
        stored = read_arrays(home)
        if stored is None:
            said: list[str] = []
            rows = _rows(found, labels, shape, fps, said)
            stored = write_arrays(home, rows, shape, said, f"video:{path}, {split}")
        if others:
            notes.append(f"{len(others)} files ignored: {files.first_names([file.name for file in others])}")
        given = {} if stored.labels is None else {"label": stored.labels}
        return ArrayData(
            stored.values, f"video:{argument}", split, given, {"target": "video"}, {"target": {"fps": fps}},
            tuple(names) if stored.labels is not None else (), notes=(*parts.notes, *notes, *stored.notes),
            sha256=stored.sha256,
        )  # fmt: skip


def _frames(chosen: dict[str, str]) -> int | None:
    if "frames" not in chosen:
        return None
    (number,) = options.whole_numbers("video", "frames", chosen["frames"], OPTIONS["frames"])
    if not 2 <= number <= 1024:
        raise UsageError(f"video: frames={number} is not valid: expected 2 to 1,024.")
    return number


def _classes(found: Sequence[Clip], train: Sequence[Clip]) -> tuple[list[int] | None, list[str]]:
    """Labels by the first folder above a clip, and the names of classes; none if all clips lie beside each other."""
    names = sorted({clip.name.split("/")[0] for clip in train if "/" in clip.name})
    if not names or any("/" not in clip.name for clip in found):
        return None, []
    numbers = {name: number for number, name in enumerate(names)}
    return [numbers.get(clip.name.split("/")[0], -1) for clip in found], list(map(files.printable, names))


def _key(found: Sequence[Clip], labels: Sequence[int] | None, text: str) -> str:
    digest = hashlib.sha256(f"{FORMAT} {text} {labels}\0".encode())
    for clip in found:
        for file in clip.files:
            digest.update(os.fsencode(f"{clip.name}\0{file.name}\0{file.identity}\0"))
    return digest.hexdigest()[:32]


def _form(
    train: Sequence[Clip], frames: int | None, size: tuple[int, int] | None
) -> tuple[tuple[int, int, int, int], float, list[str]]:
    """The shape of clips (frames, channels, height, width), the most frequent rate, and notes on what that changes."""
    from ganzoo_plugins.datasets.clips import DEFAULT_FPS

    known = [facts for facts in in_order(lambda i: _facts(train[i]), len(train), "Looking at clips", 1) if facts]
    notes = []
    sizes = {facts.size for facts in known} or {(MAX_SIZE, MAX_SIZE)}
    if size is None:
        size = next(iter(sizes))
        if len(sizes) > 1 or max(size) > MAX_SIZE:
            side = min(MAX_SIZE, *(min(sides) for sides in sizes))
            size = (side, side)
            notes.append(f"frames are scaled and cropped to {side}x{side}; another size: video:size=HEIGHTxWIDTH:PATH")
    rates = Counter(round(facts.fps, 3) for facts in known)
    fps = rates.most_common(1)[0][0] if rates else DEFAULT_FPS
    if len(rates) > 1:
        notes.append(
            f"clips of {len(rates)} frame rates are resampled to the most frequent one, {fps:g} frames a second"
        )
    grey = bool(known) and all(facts.grey for facts in known)
    return (frames or FRAMES, 1 if grey else 3, *size), min(fps, 240.0), notes


def _facts(clip: Clip) -> Facts | None:
    """What a clip says of itself; None of a damaged one, which `_rows` reports."""
    from ganzoo_plugins.datasets.clips import facts_of

    try:
        return facts_of(clip)
    except GanzooError:  # a library or the storage is missing
        raise
    except Exception:  # decoders may raise anything on damaged files
        return None


def _rows(
    found: Sequence[Clip], labels: Sequence[int] | None, shape: tuple[int, int, int, int], fps: float, notes: list[str]
) -> Iterator[tuple[npt.NDArray[np.uint8], int | None]]:
    """Yield frames and label of every clip; then add to `notes` what was left out or cut."""
    length = shape[0]
    skipped: list[str] = []
    count = longer = 0
    decoded = in_order(lambda number: _decoded(found[number], shape, fps), len(found), "Decoding clips", 1)
    for number, results in enumerate(decoded):
        made, reason = 0, ""
        for result in _parts(found[number], shape, fps) if results is None else results:
            if isinstance(result, str):
                reason = result
            else:
                made += 1
                yield result, None if labels is None else labels[number]
        count += made
        longer += made > 1
        if reason:
            skipped.append(f"{files.printable(found[number].name)} ({reason})")
    if not count:
        raise DataError(
            f"None of the clips can be read with {length} frames: {files.first_names(skipped)}. Fewer "
            "frames: video:frames=N:PATH."
        )
    if skipped:
        notes.append(f"{len(skipped)} of {len(found)} clips skipped: {files.first_names(skipped)}")
    if longer:
        notes.append(f"{longer} of {len(found)} clips are longer than {length} frames and were cut: {count:,} in all")


def _decoded(clip: Clip, shape: tuple[int, int, int, int], fps: float) -> list[npt.NDArray[np.uint8] | str] | None:
    """All parts of a clip; None if they are too many to be held at once."""
    results: list[npt.NDArray[np.uint8] | str] = []
    size = 0
    for part in _parts(clip, shape, fps):
        results.append(part)
        size += 0 if isinstance(part, str) else part.nbytes
        if size > LONG_BYTES:
            return None
    return results


def _parts(clip: Clip, shape: tuple[int, int, int, int], fps: float) -> Iterator[npt.NDArray[np.uint8] | str]:
    """Yield one part of a clip after the other, each of this shape, then the reason why it ends early, if it does."""
    import numpy as np

    from ganzoo_plugins.datasets.clips import frames_of

    length, channels, height, width = shape
    waiting: list[npt.NDArray[np.uint8]] = []
    made = 0
    try:
        for frame in frames_of(clip, (height, width), channels == 1, fps):
            waiting.append(frame)
            if len(waiting) == length:
                made += 1
                yield np.stack(waiting)
                waiting = []
    except GanzooError:  # a library or the storage is missing
        raise
    except Exception as error:  # decoders may raise anything on damaged files
        yield files.reason(error)
        return
    if not made:
        yield f"{len(waiting)} frames"
