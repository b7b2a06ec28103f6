"""A folder or zip archive of recordings: `audio:PATH`."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, ClassVar

from ganzoo.data.parallel import in_order
from ganzoo.errors import DataError, StorageError, UsageError
from ganzoo.plugin import DataKind, DataLocation, Dataset, Split
from ganzoo_plugins.datasets import files, options
from ganzoo_plugins.datasets.files import UserFile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ganzoo.data import ArrayData

ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
WITHOUT_LIBRARY = (".wav",)
OPTIONS = {"samples": "N", "rate": "HZ", "normalise": "yes or no"}
SHARE = 0.9
"""Clips are long enough for this share of the recordings."""
MAX_SAMPLES = 1 << 16
PEAK = 0.9
"""Where `normalise=yes` puts the largest sample of a recording; 1 is full scale."""
SILENCE = 1 / 32768
"""Recordings that stay below the smallest step of 16 bits are not made louder."""
CLIPPED = 1.1
"""Samples up to this are no more than the overshoot of a resampled recording at full scale."""
FORMAT = 1

Sound = tuple["npt.NDArray[np.float32]", int]
"""Samples [channels, length] in [-1, 1] and their rate in Hz."""


class Audio(Dataset):
    """Recordings in PATH, or in sub-folders, which are classes; folders `train` and `test`, if present, are the splits.

    WAV files need nothing else; FLAC, OGG and MP3 need the library soundfile. All become mono clips of one length and
    rate.
    """

    api_version = 2
    summary = "your own recordings, WAV or FLAC, a folder or zip; sub-folders are classes"
    source = "yours"
    kind: ClassVar[DataKind] = "audio"
    argument = "PATH"

    def absolute(self, argument: str) -> str:
        return options.absolute(argument)

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ArrayData:
        import numpy as np

        from ganzoo.data import ArrayData
        from ganzoo.data.cache import read_arrays, write_arrays

        chosen, path = options.parse("audio", argument, OPTIONS)
        samples, rate = (_number(chosen, name) for name in ("samples", "rate"))
        normalise = bool(options.yes_or_no("audio", "normalise", chosen))
        parts = files.split_files(files.listing(path), split)
        sounds, notes = files.only(parts.files, ENDINGS)
        train, _ = files.only(parts.train, ENDINGS)
        if not sounds:
            raise DataError(f"{parts.folder} contains no recordings (files with endings such as .wav, .flac).")
        labels, names = files.classes_of(sounds, train, parts.folder)
        clip = where.cache / "audio" / _key([], train, None, f"form {samples} {rate}")
        form = read_arrays(clip)
        if form is None:  # the training recordings decide length and rate
            length, hertz = _form(train, samples, rate)
            form = write_arrays(clip, [(np.array([length, hertz]), None)], (2,), (), f"form of audio:{path}", np.int64)
        length, hertz = map(int, form.values[0])
        form_of_clips = f"{length} {hertz}{' normalised' if normalise else ''}"
        home = where.cache / "audio" / _key(sounds, train, labels, form_of_clips)
        stored = read_arrays(home)
        if stored is None:
            said: list[str] = []
            rows = _rows(sounds, labels, length, hertz, normalise, said)
            stored = write_arrays(home, rows, (1, length), said, f"audio:{path}, {split}", np.int16)
        given = {} if stored.labels is None else {"label": stored.labels}
        return ArrayData(
            stored.values, f"audio:{argument}", split, given, {"target": "audio"}, {"target": {"sample_rate": hertz}},
            tuple(names) if stored.labels is not None else (), notes=(*parts.notes, *notes, *stored.notes),
            sha256=stored.sha256,
        )  # fmt: skip


def _number(chosen: dict[str, str], name: str) -> int | None:
    if name not in chosen:
        return None
    (number,) = options.whole_numbers("audio", name, chosen[name], OPTIONS[name])
    if not 256 <= number <= 1 << 20:
        raise UsageError(f"audio: {name}={number} is not valid: expected 256 to {1 << 20:,}.")
    return number


def _key(sounds: Sequence[UserFile], train: Sequence[UserFile], labels: Sequence[int] | None, text: str) -> str:
    digest = hashlib.sha256(f"{FORMAT} {text} {labels}\0".encode())
    for group in (sounds, train):
        for file in group:
            digest.update(os.fsencode(f"{file.name}\0{file.identity}\0"))
        digest.update(b"\0")
    return digest.hexdigest()[:32]


def _form(train: Sequence[UserFile], samples: int | None, rate: int | None) -> tuple[int, int]:
    """Length and rate: the most frequent rate, and the power of two that holds nine tenths of the recordings."""
    import numpy as np

    lengths, rates = [], []
    for known in in_order(lambda number: _length_and_rate(train[number]), len(train), "Looking at recordings"):
        if known is not None:  # `_rows` reports damaged files
            lengths.append(known[0] / known[1])
            rates.append(known[1])
    if not rates:
        return samples or 16384, rate or 16000  # `_rows` says why none can be read
    hertz = rate or Counter(rates).most_common(1)[0][0]
    needed = float(np.quantile(lengths, SHARE)) * hertz
    return samples or min(MAX_SAMPLES, 1 << max(8, int(np.ceil(np.log2(max(1, needed)))))), hertz


def _rows(
    sounds: Sequence[UserFile], labels: Sequence[int] | None, length: int, hertz: int, normalise: bool, notes: list[str]
) -> Iterator[tuple[npt.NDArray[np.int16], int | None]]:
    """Yield clip [1, length] and label of every readable file; then add to `notes` what was done to them."""
    skipped: list[str] = []
    cut = resampled = mixed = clipped = 0
    decoded = in_order(
        lambda number: _decoded(sounds[number], length, hertz, normalise), len(sounds), "Decoding recordings"
    )
    for number, clip in enumerate(decoded):
        if isinstance(clip, str):
            skipped.append(f"{files.printable(sounds[number].name)} ({clip})")
            continue
        cut += clip.cut
        resampled += clip.resampled
        mixed += clip.mixed
        clipped += clip.clipped
        yield clip.values, None if labels is None else labels[number]
    if len(skipped) == len(sounds):
        raise DataError(f"None of the recordings can be read: {files.first_names(skipped)}.")
    if skipped:
        notes.append(f"{len(skipped)} of {len(sounds)} files skipped: {files.first_names(skipped)}")
    if mixed:
        notes.append(f"{mixed} of {len(sounds)} recordings of several channels mixed to one")
    if clipped:
        notes.append(
            f"{clipped} of {len(sounds)} recordings are louder than full scale and are clipped; to keep them whole: "
            "audio:normalise=yes:PATH"
        )
    if resampled:
        notes.append(f"{resampled} of {len(sounds)} recordings resampled to {hertz:,} Hz")
    if cut:
        notes.append(
            f"{cut} of {len(sounds)} recordings cut to their first {length:,} samples ({length / hertz:.2g} s); "
            "another length: audio:samples=N:PATH"
        )


@dataclass(frozen=True)
class Recording:
    """Samples int16 [1, length] of a recording: whether it was longer, had another rate, several channels, or samples
    beyond full scale, as files of floats may have.
    """

    values: npt.NDArray[np.int16]
    cut: bool
    resampled: bool
    mixed: bool
    clipped: bool


def _length_and_rate(file: UserFile) -> tuple[int, int] | None:
    """The number of samples of a recording and their rate in Hz; None of a damaged one."""
    try:
        sound, hertz = read(file)
    except StorageError:  # not the file's fault
        raise
    except Exception:  # decoders may raise anything on damaged files
        return None
    return sound.shape[1], hertz


def _decoded(file: UserFile, length: int, hertz: int, normalise: bool) -> Recording | str:
    """A recording as a clip of this length and rate, or the reason why it cannot be read."""
    import numpy as np

    try:
        sound, found = read(file)
        if found != hertz:
            from scipy.signal import resample_poly

            sound = resample_poly(sound, hertz, found, axis=1)
    except StorageError:  # not the file's fault
        raise
    except Exception as error:  # decoders may raise anything on damaged files
        return files.reason(error)
    mono = sound.mean(axis=0)
    loudest = np.abs(mono).max()
    if normalise and loudest > SILENCE:
        mono = mono * (PEAK / loudest)
    clip = np.zeros(length, np.float32)
    clip[: len(mono)] = mono[:length]
    clipped = bool(np.abs(clip).max() > CLIPPED)
    values = (clip * 32768).round().clip(-32768, 32767).astype(np.int16)
    return Recording(values[None], len(mono) > length, found != hertz, len(sound) > 1, clipped)


def read(file: UserFile) -> Sound:
    """The samples of a recording, [channels, length] in [-1, 1], and its rate. Raises whatever the decoders raise."""
    with file.open() as stream:
        return _read_wav(stream) if file.ending in WITHOUT_LIBRARY else _read_with_library(stream, file.ending)


def _read_wav(stream: IO[bytes]) -> Sound:
    import warnings

    import numpy as np
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of chunks that it skips
        rate, values = wavfile.read(stream)
    if values.dtype == np.uint8:
        sound = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        sound = values.astype(np.float32) / -float(np.iinfo(values.dtype).min)
    else:
        sound = values.astype(np.float32)
    if not sound.size or not np.isfinite(sound).all():
        raise ValueError("it has no samples" if not sound.size else "its samples are not finite")
    return (sound[None] if sound.ndim == 1 else sound.T), int(rate)


def _read_with_library(stream: IO[bytes], ending: str) -> Sound:
    try:
        import soundfile
    except ImportError:
        raise DataError(f"{ending} files need soundfile: pip install 'ganzoo-core[audio]'") from None
    sound, rate = soundfile.read(stream, dtype="float32", always_2d=True)
    if not len(sound):
        raise ValueError("it has no samples")
    return sound.T, int(rate)
