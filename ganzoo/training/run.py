"""A run directory: everything needed to continue, sample from, or redo a training.

config.json      what was asked for and with which versions
metrics.jsonl    one JSON object per line, losses and signals averaged since the line before
evaluations.jsonl   what `evaluate_every` measured; best/ has the checkpoints that were the best so far
alarms.jsonl     what was seen to go wrong: name, step, evidence, remedy; see ganzoo.training.failure_detection
samples/         grids of the same noise vectors as training goes on
checkpoints/     see ganzoo.training.checkpoint
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.files import lock, write_text
from ganzoo.core.registry import canonical_distribution
from ganzoo.core.spec import DataSpec
from ganzoo.training.failure_detection import Alarm

CONFIG = "config.json"
FORMAT = 1
TORN = 1 << 62
"""The step of a line of metrics that a crash cut short: later than any."""
TYPES: dict[str, tuple[type, ...]] = {
    "architecture": (str,), "distribution": (str,), "dataset": (dict,), "settings": (dict,), "seed": (int,),
    "device": (str,), "precision": (str,), "schedule": (dict,), "data_dir": (str, type(None)),
    "dataset.name": (str,), "dataset.channels": (int,), "dataset.size": (int,), "dataset.classes": (int,),
    "dataset.class_names": (list,), "dataset.inputs": (int,), "dataset.scale": (int, float),
    "schedule.steps": (int, type(None)), "schedule.minutes": (int, float, type(None)),
    "schedule.checkpoint_every": (int,), "schedule.sample_every": (int,),
}  # fmt: skip
"""What a config.json must hold for a run to be used."""


class Run:
    """One training on disk. `path` is its directory, `config` what config.json says."""

    def __init__(self, path: Path, config: dict[str, Any]):
        self.path = path
        self.config = config

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def create(cls, out: str | os.PathLike[str] | None, name: str, config: dict[str, Any]) -> Run:
        """A new run in `out`, which must not exist or be empty, or in the first free `runs/NAME-001`, `-002`, ..."""
        try:
            path = _free_directory(name) if out is None else _empty_directory(Path(out))
            run = cls(path, {"format": FORMAT, **config})
            try:
                write_text(path / CONFIG, run._text(), new=True)
            except FileExistsError:  # another training was faster
                raise _taken(path) from None
            run.samples.mkdir(exist_ok=True)
            run.checkpoints.mkdir(exist_ok=True)
        except OSError as failure:
            raise GanzooError(f"Cannot create the run directory: {failure}") from failure
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Run:
        """The run at `path`. Raises `UsageError` where there is none."""
        directory = Path(path)
        try:
            config = json.loads((directory / CONFIG).read_text())
        except FileNotFoundError:
            raise UsageError(f"{directory} is not a run directory: it has no {CONFIG}.{_runs_nearby()}") from None
        except (OSError, ValueError, RecursionError) as failure:
            raise GanzooError(f"{directory / CONFIG} cannot be read: {failure}") from failure
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise GanzooError(f"{directory / CONFIG} is not a run of this version of ganzoo (format {FORMAT}).")
        check_config(config, directory / CONFIG)
        config["distribution"] = canonical_distribution(config["distribution"])
        return cls(directory, config)

    @property
    def spec(self) -> DataSpec:
        """What its networks are built for."""
        data = self.config["dataset"]
        return DataSpec(data["channels"], data["size"], data["classes"], data["inputs"], data["scale"])

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def grid(self) -> Path | None:
        """The newest sample grid."""
        return max(self.samples.glob("*.png"), default=None)

    @property
    def best(self) -> Path:
        """The checkpoints that were best by `evaluate_every`, the newest of them the best."""
        return self.path / "best"

    def kept(self, best: bool = False) -> Path:
        """Where its checkpoints are, or the best ones of them. UsageError where none were kept as best."""
        if best and not self.best.is_dir():
            raise UsageError(f"{self.path} has no best checkpoint: train with --evaluate-every N to keep one.")
        return self.best if best else self.checkpoints

    @property
    def evaluations_file(self) -> Path:
        return self.path / "evaluations.jsonl"

    def evaluations(self) -> list[dict[str, Any]]:
        """The lines of evaluations.jsonl."""
        return [json.loads(line) for line in _lines(self.evaluations_file) if _step_of(line) < TORN]

    def evaluated(self, line: dict[str, Any]) -> None:
        """Add a line to evaluations.jsonl."""
        _append(self.evaluations_file, line)

    @property
    def alarms_file(self) -> Path:
        return self.path / "alarms.jsonl"

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        return [json.loads(line) for line in _lines(self.metrics_file) if _step_of(line) < TORN]

    def alarms(self) -> list[Alarm]:
        """The alarms that were raised."""
        return [Alarm(**json.loads(line)) for line in _lines(self.alarms_file) if _step_of(line) < TORN]

    def record(self, alarm: Alarm) -> None:
        """Add a line to alarms.jsonl."""
        _append(self.alarms_file, dataclasses.asdict(alarm))

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        _append(self.metrics_file, row)

    def write_config(self) -> None:
        """Write `config` to config.json, all or nothing."""
        write_text(self.path / CONFIG, self._text())

    def _text(self) -> str:
        return json.dumps(self.config, indent=2) + "\n"

    def forget_after(self, step: int) -> None:
        """Drop what is later than `step`, damaged checkpoints included: a resumed training makes it again.

        Files that a killed training was writing go, too.
        """
        from ganzoo.training import checkpoint

        for file in (self.metrics_file, self.alarms_file, self.evaluations_file):
            kept = [line for line in _lines(file) if _step_of(line) <= step]
            if file.exists():
                write_text(file, "".join(f"{line}\n" for line in kept))
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

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for one process; a second training of it is refused. The lock dies with its process."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(lock(self.path / ".lock", wait=False))
            except BlockingIOError:
                raise UsageError(f"{self.path} is being trained by another process.") from None
            yield


def check_config(config: dict[str, Any], file: Path) -> None:
    """Refuse a config.json, which may come from anywhere, that lacks something or holds it in another type."""
    for name, kinds in TYPES.items():
        value: Any = config
        for part in name.split("."):
            value = value.get(part, ...) if isinstance(value, dict) else ...
        if value is ...:
            raise GanzooError(f"{file} is damaged: it lacks {name}.")
        if not isinstance(value, kinds) or isinstance(value, bool):
            expected = " or ".join("none" if kind is type(None) else kind.__name__ for kind in kinds)
            raise GanzooError(f"{file} is damaged: {name} is {value!r}, expected {expected}.")
    names = config["dataset"]["class_names"]
    if len(names) != config["dataset"]["classes"] or not all(isinstance(name, str) for name in names):
        raise GanzooError(
            f"{file} is damaged: dataset.class_names does not name {config['dataset']['classes']} classes."
        )


def _free_directory(name: str) -> Path:
    number = 1
    while True:
        path = Path("runs") / f"{name}-{number:03d}"
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1


def _empty_directory(path: Path) -> Path:
    left_behind = f".{CONFIG}-"  # by a training that was killed while it began
    if path.exists() and (not path.is_dir() or any(not e.name.startswith(left_behind) for e in path.iterdir())):
        raise _taken(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def _taken(path: Path) -> UsageError:
    return UsageError(f"{path} exists and is not an empty directory. Choose another --out, or --resume {path}.")


def _runs_nearby() -> str:
    runs = sorted(Path("runs").glob(f"*/{CONFIG}"), key=lambda p: p.stat().st_mtime, reverse=True)
    return f" The newest run here is {runs[0].parent}." if runs else ""


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []


def _append(path: Path, line: dict[str, Any]) -> None:
    try:
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as failure:
        raise GanzooError(f"Cannot write {path}: {failure.strerror or failure}") from failure


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return TORN
