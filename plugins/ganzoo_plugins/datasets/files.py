"""The user's files: listed in a folder or a zip archive, with their splits and classes."""

from __future__ import annotations

import difflib
import io
import logging
import os
import re
import time
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ganzoo.data.storage import StoredFiles, is_url
from ganzoo.errors import DataError, SplitError
from ganzoo.plugin import Split

MAX_NAMES = 3
"""Number of files that a message names."""
MAX_BYTES = 1 << 30
"""Larger members of an archive are not unpacked."""
REPORT_SECONDS = 5.0
"""Seconds between reports of a search for files, which may take long where links lead to many folders."""
SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "test": (
        "test", "testing", "val", "valid", "validation", "validate", "eval", "evaluation", "dev", "development",
        "holdout", "heldout",
    ),
}  # fmt: skip
"""Names of folders, as `split_word` has them, that are splits; the first one there is used."""


@dataclass(frozen=True)
class UserFile:
    """A file, its `name` relative to what was listed, with forward slashes."""

    name: str
    identity: str
    """Differs if the content does: place, size and times of a file; place and checksum of a member of an archive."""
    open: Callable[[], IO[bytes]] = field(compare=False, repr=False)

    @property
    def ending(self) -> str:
        return os.path.splitext(self.name)[1].lower()

    @property
    def stem(self) -> str:
        return os.path.splitext(self.name)[0]


@dataclass(frozen=True)
class Listing:
    """The files of a folder or an archive, sorted by name, and notes on what could not be listed."""

    place: str
    files: tuple[UserFile, ...]
    notes: tuple[str, ...] = ()

    def below(self, folder: str) -> tuple[UserFile, ...]:
        """The files in the sub-folder, by their names in it."""
        start = f"{folder}/"
        inside = [file for file in self.files if file.name.startswith(start)]
        return tuple(UserFile(file.name[len(start) :], file.identity, file.open) for file in inside)

    @property
    def folders(self) -> list[str]:
        """The sub-folders with files, sorted."""
        return sorted({file.name.split("/")[0] for file in self.files if "/" in file.name})


def listing(path: str) -> Listing:
    """The files of the folder or zip archive at `path`, also a URL, without hidden ones. DataError if it is neither."""
    if is_url(path):
        return _stored(path)
    place = Path(path)
    if place.is_dir():
        return _folder(place)
    if place.is_file() and zipfile.is_zipfile(place):
        return _archive(path, lambda: zipfile.ZipFile(place), _identity(path))
    if place.is_file():
        raise DataError(f"{place} is a file; expected a folder or a zip archive.")
    raise missing("folder", place)


def missing(what: str, place: Path) -> DataError:
    """The error that this file or folder does not exist, with the name beside it that is most like it."""
    parent = place.parent
    siblings = [entry.name for entry in parent.iterdir()] if parent.is_dir() and os.access(parent, os.R_OK) else []
    close = difflib.get_close_matches(place.name, siblings, n=1, cutoff=0.5)
    hint = f" Did you mean {parent / close[0]}?" if close else ""
    return DataError(f"The {what} {place} does not exist.{hint}")


def _stored(url: str) -> Listing:
    """The files of a folder or a zip archive on object storage."""
    storage = StoredFiles(url)
    identities = storage.identities()
    if not identities:
        raise DataError(f"There is nothing at {url}.")
    if "" in identities:
        return _archive(url, lambda: zipfile.ZipFile(storage.open("")), f"{url} {identities['']}")

    def opener(name: str) -> Callable[[], IO[bytes]]:
        return lambda: storage.open(name)

    names = [name for name in sorted(identities) if not any(part.startswith(".") for part in name.split("/"))]
    return _unwrapped(Listing(url, tuple(UserFile(name, f"{url} {identities[name]}", opener(name)) for name in names)))


def _folder(root: Path) -> Listing:
    files: list[UserFile] = []
    unreadable: list[str] = []
    others: list[str] = []
    reported = time.monotonic()

    def walk(folder: str, name: str, ancestors: tuple[str, ...]) -> None:
        nonlocal reported
        if (now := time.monotonic()) - reported > REPORT_SECONDS:
            reported = now
            logging.getLogger("ganzoo").warning(
                f"Looking for files in {printable(str(root))}: {len(files):,} so far, now in {printable(name)}"
            )
        real = os.path.realpath(folder)
        if real in ancestors:  # a link to a parent would never end
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as failure:
            unreadable.append(f"{printable(name or str(root))} ({failure.strerror})")
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                inside, regular = entry.is_dir(), entry.is_file()  # follow links
            except OSError:  # a link in a circle
                inside = regular = False
            if inside:
                walk(entry.path, f"{name}{entry.name}/", (*ancestors, real))
            elif regular:
                files.append(UserFile(f"{name}{entry.name}", _identity(entry.path), _opener(entry.path)))
            else:  # a pipe, a device, or a link to nothing
                others.append(f"{name}{entry.name}")

    walk(str(root), "", ())
    notes = [f"{len(unreadable)} folders cannot be read: {first_names(unreadable)}"] if unreadable else []
    if others:
        notes.append(f"{len(others)} ignored that are no files, or links to none: {first_names(others)}")
    return _unwrapped(Listing(str(root), tuple(sorted(files, key=lambda file: file.name)), tuple(notes)))


def _unwrapped(listed: Listing) -> Listing:
    """What is in the one folder that holds everything, if that is the splits."""
    top = next(iter(listed.folders), "")
    if len(listed.folders) != 1 or split_word(top) in SPLITS["train"] or any("/" not in f.name for f in listed.files):
        return listed
    inner = Listing(f"{listed.place}/{top}", listed.below(top), listed.notes)
    return inner if _train_and_tests(inner)[0] is not None else listed


def _identity(path: str) -> str:
    try:
        stat = os.stat(path)
    except OSError:  # it vanished; reading it will say so
        return path
    return f"{os.path.realpath(path)} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _opener(path: str) -> Callable[[], IO[bytes]]:
    return lambda: open(path, "rb")


def _archive(place: str, opened: Callable[[], zipfile.ZipFile], identity: str) -> Listing:
    try:
        archive = opened()
        members = [member for member in archive.infolist() if not member.is_dir()]
    except (OSError, zipfile.BadZipFile) as failure:
        raise DataError(f"{place} cannot be read: {failure}.") from None
    handles = {os.getpid(): archive}  # processes that share one would move each other's position in the file

    def opener(member: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
        def read() -> IO[bytes]:
            if member.file_size > MAX_BYTES:
                raise ValueError(f"it unpacks to {member.file_size:,} bytes")
            if os.getpid() not in handles:
                handles[os.getpid()] = opened()
            with handles[os.getpid()].open(member) as stream:
                content = stream.read(MAX_BYTES + 1)
            return io.BytesIO(content)

        return read

    shown = [m for m in members if not any(p.startswith((".", "__MACOSX")) for p in m.filename.split("/"))]
    tops = {member.filename.split("/")[0] for member in shown}
    top = next(iter(tops)) if len(tops) == 1 and all("/" in member.filename for member in shown) else None
    cut = 0 if top is None or split_word(top) in SPLITS["train"] else len(top) + 1  # archives often hold one folder
    files = [UserFile(m.filename[cut:], f"{identity} {m.filename} {m.CRC} {m.file_size}", opener(m)) for m in shown]
    return Listing(place, tuple(sorted(files, key=lambda file: file.name)))


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split, those of the training split, and notes on what is left out."""

    files: tuple[UserFile, ...]
    train: tuple[UserFile, ...]
    notes: tuple[str, ...]
    folder: str
    """The split's folder for messages."""


def split_files(listed: Listing, split: Split) -> SplitFiles:
    """Divide files by the folders that are named like splits; without a test folder, all are for training.

    A folder named like a training split counts as one if it has a test folder beside it, or is the only folder.
    """
    train, tests = _train_and_tests(listed)
    loose = [file.name for file in listed.files if "/" not in file.name]
    if train is None:
        if split == "test":
            raise no_test_split(listed)
        return SplitFiles(listed.files, listed.files, listed.notes, str(listed.place))
    chosen = train if split == "train" else next(iter(tests), None)
    if chosen is None:
        raise no_test_split(listed)
    ignored = [folder for folder in listed.folders if folder not in (train, *tests[:1])] + loose
    ignored = [name for name in ignored if name != LABELS_FILE]
    notes = [f"ignored beside {train}: {first_names(ignored)}"] if ignored and split == "train" else []
    return SplitFiles(listed.below(chosen), listed.below(train), (*listed.notes, *notes), f"{listed.place}/{chosen}")


def _train_and_tests(listed: Listing) -> tuple[str | None, list[str]]:
    """The folder of the training split, if there is one, and those of test splits, the one to use first."""
    by_word = {split_word(folder): folder for folder in reversed(listed.folders)}
    train = next((by_word[word] for word in SPLITS["train"] if word in by_word), None)
    tests = [by_word[word] for word in SPLITS["test"] if word in by_word]
    return (train if tests or listed.folders == [train] else None), tests


def split_word(folder: str) -> str:
    """The word of a folder's name that may be in SPLITS: `test` of `Test`, `test_set` and `test-images`."""
    word = re.sub(r"[-_ ]", "", folder.strip().casefold())
    return re.sub(r"(?<=.)(set|split|data|images|imgs)$", "", word)


LABELS_FILE = "dataset.json"
"""Labels of an archive, in the format of StyleGAN: {"labels": [["folder/name.png", 3], ...]} or {"labels": null}."""


def no_test_split(listed: Listing) -> SplitError:
    return SplitError(
        f"{listed.place} has no test split: put its files into a sub-folder test, and the others into train."
    )


def only(files: Sequence[UserFile], endings: Collection[str]) -> tuple[list[UserFile], list[str]]:
    """The files with these endings, and a note on the others, if there are any."""
    chosen = [file for file in files if file.ending in endings]
    others = [file for file in files if file.ending not in endings and file.name.split("/")[-1] != LABELS_FILE]
    if not others:
        return chosen, []
    kinds = Counter(file.ending or "without ending" for file in others)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(MAX_NAMES))
    return chosen, [f"{len(others)} files ignored ({counted}): {first_names([file.name for file in others])}"]


def classes_of(files: Sequence[UserFile], train: Sequence[UserFile], place: str) -> tuple[list[int] | None, list[str]]:
    """Labels of `files` by their first sub-folder, and the classes of the `train` files; None if they have none.

    The classes are those that are trained on; a file of another class has the label -1. DataError if some files are
    in sub-folders and others are not.
    """
    loose = [file.name for file in files if "/" not in file.name]
    if loose and len(loose) < len(files):
        raise DataError(
            f"{place} has images both in sub-folders, which are classes, and outside: {first_names(loose)}. "
            "Move these into a sub-folder or out of the folder."
        )
    names = sorted({_class(file) for file in train if "/" in file.name})
    if loose or not names:
        return None, names
    numbers = {name: number for number, name in enumerate(names)}
    return [numbers.get(_class(file), -1) for file in files], names


def _class(file: UserFile) -> str:
    return unicodedata.normalize("NFC", printable(file.name.split("/")[0]))


def reason(error: Exception) -> str:
    """Why a decoder cannot read a file, for a message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if type(error).__name__ == "UnidentifiedImageError":  # its text is the representation of a stream
        return "cannot identify image"
    return str(error) or type(error).__name__


def first_names(names: Sequence[str]) -> str:
    """The first file names, and the number of the others, for a message."""
    return ", ".join(map(printable, names[:MAX_NAMES])) + (
        f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    )


def printable(name: str) -> str:
    """The file name with bytes that are not UTF-8 replaced."""
    return os.fsencode(name).decode("utf-8", "replace")
