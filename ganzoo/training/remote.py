"""A run on object storage: the same files as in a directory, and a copy of them on this machine that training writes.

What a kill leaves behind is a whole run or none, because files are written in this order: rows and sample grids, the
files of a checkpoint, its manifest, and config.json, which makes the run exist, after the first checkpoint. A
checkpoint without a manifest does not count. What is no longer in the copy is deleted last, manifests first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ganzoo.core.errors import GanzooError, StorageError, UsageError
from ganzoo.core.files import lock, read_json
from ganzoo.core.paths import data_folder, shell_word
from ganzoo.core.storage import RemoteFolder
from ganzoo.training import checkpoint
from ganzoo.training.run_config import CONFIG

ROWS = ("metrics.jsonl", "evaluations.jsonl", "alarms.jsonl", "evaluation.json")
CHECKPOINT = re.compile(r"(checkpoints|best)/step-([0-9]{8,15})/(manifest\.json|state\.pt|(?:model|ema)\.safetensors)")
GRID = re.compile(r"samples/step-([0-9]{8,15})\.png")
LOCK_SECONDS = 1.0
"""Longer than another process takes to look whether the lock is held."""
UNSENT = ".unsent"
"""A file in the copy of a new run until its first commit."""
ATTEMPTS = 3


class RemoteRun:
    """The run at `url`, and its `copy`: a run directory in the user's data folder.

    `ahead` is whether the copy was found to be newer than the storage.
    """

    def __init__(self, url: str):
        self.folder = RemoteFolder(url)
        self.url = self.folder.url
        name = re.sub(r"[^A-Za-z0-9._-]", "_", self.url.rpartition("/")[2]) or "run"
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.copy = data_folder() / "remote" / digest / name
        self.files: dict[str, int] = {}
        self.known: set[str] = set()
        self.sent: dict[str, tuple[int, int]] = {}
        self.ahead = False

    def exists(self) -> bool:
        """Whether there is a run, in the storage or, of a training that never reached it, in the copy."""
        return self.folder.exists(CONFIG) or self.is_unsent()

    @property
    def newest(self) -> str | None:
        """The name of the newest checkpoint that `fetch` found in the storage."""
        return next((Path(name).name for name in _committed(self.files, "checkpoints")), None)

    def begin(self) -> Path:
        """The copy, empty, for a new run. UsageError if there is something at the URL already, or a training here."""
        found = self.folder.files()
        if CONFIG in found or not all(map(_is_ours, found)):
            raise UsageError(f"{self.url} is not empty. Choose another --out, or --resume {shell_word(self.url)}.")
        self.folder.delete(sorted(found, key=_order, reverse=True))  # left by a training killed in its first commit
        if self.is_locked():
            raise UsageError(f"{self.url} is being trained by another process.")
        self._set_aside()
        self.copy.mkdir(parents=True, exist_ok=True)
        return self.copy

    def begun(self) -> None:
        """The copy has a configuration: from now on it is a run, which waits for its first commit."""
        (self.copy / UNSENT).touch()

    def fetch(self) -> None:
        """Bring configuration, rows and results of the copy up to date, unless the copy is ahead of the storage.

        It is while a training of this machine goes on, and after one that could not upload its last checkpoint.
        UsageError if there is no run at the URL.
        """
        self.files = self.folder.files()
        self.known = set(_committed(self.files, "checkpoints"))
        self.ahead = self.is_locked() or (CONFIG not in self.files and self.is_unsent())
        if self.ahead:
            return
        if CONFIG not in self.files:
            raise UsageError(f"{self.url} is not a run: it has no {CONFIG}.")
        self.copy.parent.mkdir(parents=True, exist_ok=True)
        coming = self.copy.with_name(f".{CONFIG}-{os.getpid()}")
        try:
            self._get(CONFIG, coming)
            if not self._is_of_same_run(coming):
                self._set_aside()
            self.ahead = _newest(self._steps_here()) > _newest(self.known)
            if self.ahead:
                return
            self.copy.mkdir(exist_ok=True)
            os.replace(coming, self.copy / CONFIG)
        finally:
            coming.unlink(missing_ok=True)
        for name in ROWS:
            if name in self.files:
                self._get(name, self.copy / name)
            else:
                (self.copy / name).unlink(missing_ok=True)

    def fetch_checkpoints(self, best: bool = False, all: bool = False) -> None:
        """Have the newest intact checkpoint, or `all`, in the copy, and damaged ones that are newer."""
        directory = self.copy / ("best" if best else "checkpoints")
        for attempt in range(ATTEMPTS):
            try:
                for name in _committed(self.files, directory.name):
                    self._fetch_checkpoint(name)
                    if checkpoint.verify(self.copy / name) is None and not all:
                        break
                return
            except FileNotFoundError as failure:  # a training elsewhere has replaced it
                if attempt == ATTEMPTS - 1:
                    raise StorageError(f"{self.url} changes too quickly to be read: {failure}") from None
                self.files = self.folder.files()

    def _fetch_checkpoint(self, name: str) -> None:
        """Have this checkpoint in the copy. One that is there already stays, if it is the same or the copy is ahead."""
        target = self.copy / name
        temporary = target.with_name(f"{checkpoint.TEMPORARY}{target.name}-{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        manifest = f"{name}/{checkpoint.MANIFEST}"
        files = [file for file in self.files if CHECKPOINT.fullmatch(file) and file.startswith(f"{name}/")]
        try:
            self.folder.get(manifest, temporary / checkpoint.MANIFEST)
            if not _same(temporary / checkpoint.MANIFEST, target / checkpoint.MANIFEST):
                if self.ahead and target.exists():
                    return
                for file in files:
                    self.folder.get(file, temporary / Path(file).name)
                shutil.rmtree(target, ignore_errors=True)
                os.replace(temporary, target)
            self.sent |= {file: _stamp(self.copy / file) for file in files if (self.copy / file).exists()}
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def fetch_grids(self, newest: bool = False) -> None:
        """Have the sample grids in the copy, or only the newest."""
        names = sorted(name for name in self.files if GRID.fullmatch(name))
        for name in names[-1:] if newest else names:
            if not (self.copy / name).exists():
                (self.copy / name).parent.mkdir(exist_ok=True)
                self._get(name, self.copy / name)

    def commit(self) -> None:
        """Write what has changed in the copy since the last call to the storage, in the order of this module.

        StorageError if that fails, or if another machine trains the run as well.
        """
        there = self.folder.files()
        foreign = set(_committed(there, "checkpoints")) - self.known
        if foreign:
            raise StorageError(f"{self.url} is being trained by another machine, which has written {min(foreign)}.")
        here = _stamps(self.copy)
        changed = [name for name in here if self._has_changed(name, here[name], there)]
        self._put([name for name in changed if name != CONFIG and not CHECKPOINT.fullmatch(name)], here)
        checkpoints = {os.path.dirname(name) for name in changed if CHECKPOINT.fullmatch(name)}
        for name in sorted(checkpoints, key=lambda name: (f"{name}/{checkpoint.MANIFEST}" in there, name)):
            manifest = f"{name}/{checkpoint.MANIFEST}"
            if manifest in there:
                self.folder.delete([manifest])
            self.known.add(name)
            self._put([file for file in here if os.path.dirname(file) == name and file != manifest], here)
            self._put([manifest], here)
        self._put([name for name in changed if name == CONFIG], here)
        newest = _newest(self._steps_here())
        stale = [name for name in there.keys() - here.keys() if CHECKPOINT.fullmatch(name) or _grid_step(name) > newest]
        self.folder.delete(sorted(stale, key=_order, reverse=True))
        (self.copy / UNSENT).unlink(missing_ok=True)

    def _has_changed(self, name: str, stamp: tuple[int, int], there: dict[str, int]) -> bool:
        if name not in self.sent and GRID.fullmatch(name):
            return there.get(name) != stamp[0]
        return self.sent.get(name) != stamp

    def _put(self, names: Iterable[str], here: dict[str, tuple[int, int]]) -> None:
        for name in names:
            try:
                self.folder.put(self.copy / name, name)
            except StorageError:
                if (self.copy / name).exists():
                    raise
            else:  # otherwise the training has deleted it meanwhile
                self.sent[name] = here[name]

    def publish(self, names: Iterable[str]) -> None:
        """Write these files of the copy to the storage."""
        for name in names:
            self.folder.put(self.copy / name, name)

    def delete(self) -> None:
        """Delete the run, configuration first, and its copy."""
        self.folder.delete(sorted(self.folder.files(), key=_order, reverse=True))
        shutil.rmtree(self.copy.parent, ignore_errors=True)

    def is_locked(self) -> bool:
        """Whether a process of this machine trains the run."""
        if not self.copy.is_dir():
            return False
        try:
            with lock(self.copy / ".lock", wait=LOCK_SECONDS):
                return False
        except BlockingIOError:
            return True

    def is_unsent(self) -> bool:
        """Whether the copy is a run that has never been committed."""
        return (self.copy / UNSENT).exists() and (self.copy / CONFIG).exists()

    def _get(self, name: str, target: Path) -> None:
        try:
            self.folder.get(name, target)
        except FileNotFoundError:
            raise StorageError(f"{self.url} has changed while it was read: {name} is gone.") from None

    def _steps_here(self) -> list[str]:
        found = checkpoint.checkpoints(self.copy / "checkpoints")
        return [f"checkpoints/{path.name}" for path in found if (path / checkpoint.MANIFEST).exists()]

    def _is_of_same_run(self, config: Path) -> bool:
        """Whether the copy belongs to the run with this config.json, and not to an earlier one at the same URL."""
        try:
            ours, theirs = read_json(self.copy / CONFIG), read_json(config)
            return all(ours.get(key) == theirs.get(key) for key in ("started", "architecture", "seed", "settings"))
        except FileNotFoundError:
            return False
        except (OSError, ValueError, AttributeError) as failure:
            raise GanzooError(f"{self.url}/{CONFIG} cannot be read: {failure}") from failure

    def _set_aside(self) -> None:
        """Rename a copy that does not belong to the run at the URL; it may hold work that was never uploaded."""
        number = 1
        while self.copy.exists() and any(self.copy.iterdir()):
            aside = self.copy.with_name(f"{self.copy.name}~{number}")
            if not aside.exists():
                self.copy.rename(aside)
            number += 1


def _committed(files: Iterable[str], folder: str) -> list[str]:
    """The checkpoints in `folder` that have a manifest, such as `checkpoints/step-00001000`, newest first."""
    matches = (CHECKPOINT.fullmatch(name) for name in files)
    steps = {int(m[2]) for m in matches if m and m[1] == folder and m[3] == checkpoint.MANIFEST}
    return [str(checkpoint.path_of(Path(folder), step)) for step in sorted(steps, reverse=True)]


def _newest(names: Iterable[str]) -> int:
    return max((checkpoint.step_of(Path(name)) for name in names), default=-1)


def _is_ours(name: str) -> bool:
    return name in ROWS or name.startswith("tensorboard/") or bool(GRID.fullmatch(name) or CHECKPOINT.fullmatch(name))


def _grid_step(name: str) -> int:
    """The step of a sample grid, -1 for other files."""
    match = GRID.fullmatch(name)
    return int(match[1]) if match else -1


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


def _order(name: str) -> tuple[int, str]:
    if name == CONFIG:
        return 3, name
    if CHECKPOINT.fullmatch(name):
        return 2 if name.endswith(checkpoint.MANIFEST) else 1, name
    return 0, name


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the files of a run, without those that the training deletes meanwhile."""
    stamps = {}
    for name in _visible(folder):
        with contextlib.suppress(FileNotFoundError):
            stamps[name] = _stamp(folder / name)
    return stamps


def _visible(folder: Path) -> list[str]:
    """The files of a run, without its lock and unfinished files."""
    names = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [str(Path(parent, name).relative_to(folder)) for name in files if not name.startswith(".")]
    return names
