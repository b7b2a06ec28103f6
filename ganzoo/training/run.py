"""A run directory: everything needed to resume, sample from, or repeat a training.

config.json         options, settings, data set, versions
metrics.jsonl       one JSON object per row: losses and other logs, averaged since the row before
evaluations.jsonl   what `evaluate_every` measured; best/ has the best checkpoints so far
alarms.jsonl        detected failures: name, step, evidence, remedy; see ganzoo.training.failure_detection
samples/            sample grids of the same noise vectors over time
checkpoints/        see ganzoo.training.checkpoint
verification/       both results of a step that `verify_every` found to differ
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ganzoo.core import models
from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.files import lock, read_json, write_text
from ganzoo.core.paths import cache_folder, is_url, user_path
from ganzoo.core.spec import DataSpec
from ganzoo.training import rows, run_directory
from ganzoo.training.failure_detection import Alarm
from ganzoo.training.remote import LOCK_SECONDS, RemoteRun
from ganzoo.training.run_config import CONFIG, FORMAT, check_run_config, fill_in, spec_of

WRITTEN_FILES = (CONFIG, "metrics.jsonl", "evaluations.jsonl", "alarms.jsonl", ".lock")
WRITTEN_FOLDERS = ("samples", "checkpoints", "best", "tensorboard", "verification")


class Run:
    """One training on disk or on object storage, or an installed model.

    `path` is its directory, of a `remote` run that of its copy on this machine; `config` is the content of config.json.
    """

    def __init__(self, path: Path, config: dict[str, Any], remote: RemoteRun | None = None):
        self.path = path
        self.config = config
        self.remote = remote

    def __repr__(self) -> str:
        return f"Run({self.label!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    @classmethod
    def create(cls, out: str | os.PathLike[str] | None, name: str, config: dict[str, Any]) -> Run:
        """A new run in `out`, which must not exist or be empty; default the first free `runs/NAME-001`, `-002`, ...

        `out` may be a URL of object storage: nothing is written there before the first `remote.commit()`.
        """
        remote, path = RemoteRun(str(out)) if is_url(out) else None, None
        try:
            out = out if remote is None else remote.begin()
            path = (
                run_directory.free(name)
                if out is None
                else run_directory.empty(user_path(out, "a directory for a run"))
            )
            run = cls(path, {"format": FORMAT, **config}, remote)
            try:
                write_text(path / CONFIG, run._text(), new=True)
            except FileExistsError:  # another training was faster
                raise run_directory.not_empty(path) from None
            if remote is not None:
                remote.begun()
            run.samples.mkdir(exist_ok=True)
            run.checkpoints.mkdir(exist_ok=True)
        except OSError as failure:
            if path is not None:
                with contextlib.suppress(OSError):  # it is not empty
                    path.rmdir()
            raise GanzooError(f"Cannot create the run directory: {failure}") from failure
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """The run at `path`, or the installed model of this name if there is no such directory.

        Of a run on object storage, whose URL `path` is, the configuration, rows and results are fetched.
        UsageError if there is none, GanzooError if its config.json is damaged.
        """
        if is_url(path):
            remote = RemoteRun(str(path))
            remote.fetch()
            run = cls.open(remote.copy)
            run.remote = remote
            return run
        directory = user_path(path, "a run directory")
        if not os.path.lexists(directory):
            directory = models.find(os.fspath(path)) or directory
        try:
            config = read_json(directory / CONFIG)
        except (FileNotFoundError, NotADirectoryError):
            hint = models.hint(str(path)) or run_directory.run_around(directory) or run_directory.newest_run_here()
            raise UsageError(f"{directory} is not a run directory: it has no {CONFIG}.{hint}") from None
        except (OSError, ValueError) as failure:
            raise GanzooError(f"{directory / CONFIG} cannot be read: {failure}") from failure
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise GanzooError(f"{directory / CONFIG} is not a run of this version of ganzoo (format {FORMAT}).")
        check_run_config(config, directory / CONFIG)
        return cls(directory, fill_in(config))

    @staticmethod
    def exists(path: str | os.PathLike[str]) -> bool:
        """Whether there is a run at `path`, a directory or a URL, also a damaged one."""
        if is_url(path):
            return RemoteRun(str(path)).exists()
        return os.path.lexists(user_path(path, "a directory for a run") / CONFIG)

    def reopened(self) -> Run:
        """The run as it is on this machine by now."""
        run = Run.open(self.path)
        run.remote = self.remote
        return run

    @property
    def model(self) -> str | None:
        """The name of the model that this is; None if it is a run, which can be resumed."""
        return self.config.get("model")

    @property
    def label(self) -> str:
        """What to call it in messages and commands."""
        return self.model or (str(self.path) if self.remote is None else self.remote.url)

    def results(self) -> Run:
        """Where evaluations are stored: in the run, or for a model, whose package must not change, in the cache."""
        if self.model is None:
            return self
        digest = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:16]
        return Run(cache_folder() / "models" / f"{self.path.name}-{digest}", self.config)

    @property
    def spec(self) -> DataSpec:
        """The spec that its networks are built for."""
        return spec_of(self.config["dataset"])

    @property
    def image_size(self) -> int | None:
        """The `image_size` to load its data with: also where it was not set, as data sets may change their default.

        Not if that would resize inputs that are smaller than what is generated.
        """
        images = [field for field in (self.spec.target, *self.spec.given.values()) if field.modality == "images"]
        one_size = len({side for field in images for side in field.shape[1:]}) == 1
        if self.spec.kind == "images" and one_size:
            return self.spec.target.shape[1]
        size: int | None = self.config["settings"].get("image_size")
        return size

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def newest_checkpoint_name(self) -> str | None:
        """The name of the newest checkpoint, such as `step-00001000`, valid or not; None if there is none."""
        from ganzoo.training import checkpoint

        if self.remote is not None and not self.remote.ahead:
            return self.remote.newest
        return next((path.name for path in checkpoint.checkpoints(self.checkpoints)), None)

    @property
    def best(self) -> Path:
        """The directory of the best checkpoints by `evaluate_every`; the newest of them is the best."""
        return self.path / "best"

    def checkpoint_dir(self, best: bool = False) -> Path:
        """The directory of its checkpoints, or of the best ones; UsageError if it keeps no best checkpoint.

        Of a run on object storage the newest is fetched.
        """
        if self.remote is not None:
            self.remote.fetch_checkpoints(best)
        if best and not self.best.is_dir():
            raise UsageError(f"{self.label} has no best checkpoint: train with --evaluate-every N to keep one.")
        return self.best if best else self.checkpoints

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def grid(self) -> Path | None:
        """The newest sample grid."""
        if self.remote is not None:
            self.remote.fetch_grids(newest=True)
        return max(self.samples.glob("*.png"), default=None)

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def evaluations_file(self) -> Path:
        return self.path / "evaluations.jsonl"

    @property
    def alarms_file(self) -> Path:
        return self.path / "alarms.jsonl"

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return rows.read(self.metrics_file, rows.is_metrics)

    def evaluations(self) -> list[dict[str, Any]]:
        """The rows of evaluations.jsonl."""
        return rows.read(self.evaluations_file, rows.is_evaluation)

    def alarms(self) -> list[Alarm]:
        """The alarms of alarms.jsonl."""
        return [Alarm(**row) for row in rows.read(self.alarms_file, rows.is_alarm)]

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Append a row to metrics.jsonl."""
        rows.append(self.metrics_file, row)

    def add_evaluation(self, row: dict[str, Any]) -> None:
        """Append a row to evaluations.jsonl."""
        rows.append(self.evaluations_file, row)

    def add_alarm(self, alarm: Alarm) -> None:
        """Append a row to alarms.jsonl."""
        rows.append(self.alarms_file, dataclasses.asdict(alarm))

    def write_config(self) -> None:
        """Write `config` to config.json, atomically."""
        write_text(self.path / CONFIG, self._text())

    def _text(self) -> str:
        return json.dumps(self.config, indent=2) + "\n"

    def forget_after(self, step: int) -> None:
        """Delete everything later than `step`, damaged checkpoints included: the resumed training writes it again.

        Unfinished files of a killed training are deleted as well.
        """
        from ganzoo.training import checkpoint

        for file in (self.metrics_file, self.alarms_file, self.evaluations_file):
            rows.forget_after(file, step)
        self.samples.mkdir(exist_ok=True)
        for folder, name in ((self.path, CONFIG), (self.path, self.metrics_file.name), (self.samples, "step-*.png")):
            for unfinished in folder.glob(f".{name}-*"):
                unfinished.unlink()
        for grid in self.samples.glob("step-????????.png"):
            number = grid.stem.removeprefix("step-")
            if number.isdecimal() and int(number) > step and grid.is_file():
                grid.unlink()
        for path in (*checkpoint.checkpoints(self.checkpoints), *checkpoint.checkpoints(self.best)):
            if int(path.name.removeprefix(checkpoint.PREFIX)) > step:
                shutil.rmtree(path)

    def check_links(self, files: Sequence[str] = WRITTEN_FILES, folders: Sequence[str] = WRITTEN_FOLDERS) -> None:
        """Refuse to write to a run in which one of these `files` or `folders`, or anything in them, is a link.

        The run's own directory may be reached through one.
        """
        paths = [self.path / name for name in (*files, *folders)]
        for folder in folders:
            for parent, subfolders, names in os.walk(self.path / folder):
                paths += [Path(parent, name) for name in (*subfolders, *names)]
        for path in paths:
            if path.is_symlink():
                raise GanzooError(
                    f"{path} is a symbolic link, and ganzoo writes only to files inside the run directory. "
                    "Replace the link by what it points to."
                )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run for this process. UsageError if another process trains it; a lock dies with its process.

        GanzooError if there is a link where training writes.
        """
        self.check_links()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock(self.path / ".lock", wait=LOCK_SECONDS))
            except BlockingIOError:
                raise UsageError(f"{self.label} is being trained by another process.") from None
            yield
