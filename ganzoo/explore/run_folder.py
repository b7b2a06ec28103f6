"""The runs below a folder, read and never written. The page names them by identifiers that are not paths."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.files import open_regular
from ganzoo.core.spec import LABEL
from ganzoo.core.storage import RemoteFolder
from ganzoo.evaluation import results
from ganzoo.evaluation.curves import thinned
from ganzoo.training import checkpoint
from ganzoo.training.run import Run
from ganzoo.training.run_config import CONFIG, architecture_name

DEPTH = 2
"""Runs are found in the folder itself, and this many levels below it."""
MAX_RUNS = 1000
MAX_GRID_BYTES = 1 << 25
FRESH_SECONDS = 30.0
"""A run whose metrics changed this recently, and which is not complete, is being trained."""
FILES = (CONFIG, "metrics.jsonl", "alarms.jsonl", results.FILE, "samples", "checkpoints")
READERS = 8
"""Runs on object storage that are read at the same time."""
MAIN_FIGURES = ("psnr", "frechet", "precision", "recall")
"""Come first in lists of runs, which show a few."""
NOT_CURVES = ("step", "images", "seconds")


class RunFolder:
    """The runs below `root`, or `root` itself if it is a run."""

    def __init__(self, root: Path):
        self.root = root
        self._summaries: dict[Path, tuple[tuple[int, ...], dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def paths(self) -> dict[str, Path]:
        """The directories of all runs by identifier, sorted by name."""
        found = sorted(_run_directories(self.root, DEPTH))[:MAX_RUNS]
        return {self.identifier(path): path for path in found}

    def identifier(self, path: Path) -> str:
        """The identifier of the run in `path`, the same in every process."""
        return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:12]

    def open(self, identifier: str) -> Run:
        """The run with this identifier. UsageError if there is none any more, GanzooError if it is damaged."""
        path = self.paths().get(identifier)
        if path is None:
            raise UsageError("This run is no longer there: it was moved or deleted.")
        return Run.open(path)

    def summaries(self) -> list[dict[str, Any]]:
        """A row of the table for every run; of a damaged run, its name and the reason."""
        with self._lock:
            return [self._summary(identifier, path) for identifier, path in self.paths().items()]

    def _summary(self, identifier: str, path: Path) -> dict[str, Any]:
        version = _version(path)
        known = self._summaries.get(path)
        if known is None or known[0] != version:
            known = self._summaries[path] = version, _content(path)
        name = path.name if path == self.root else str(path.relative_to(self.root))
        return _row(identifier, os.fsencode(name).decode(errors="replace"), known[1])


def remote_summaries(url: str) -> list[dict[str, Any]]:
    """As `RunFolder.summaries`, of the runs on object storage below `url`. UsageError if there is nothing."""
    root = url.rstrip("/")
    with ThreadPoolExecutor(READERS) as pool:
        urls = sorted(_run_urls(root, DEPTH, pool))[:MAX_RUNS]
        contents = list(pool.map(_content, urls))
    names = [found.rpartition("/")[2] if found == root else found[len(root) + 1 :] for found in urls]
    return [_row("", name, content) for name, content in zip(names, contents)]


def _content(path: str | Path) -> dict[str, Any]:
    try:
        return summary(Run.open(path))
    except (GanzooError, OSError) as failure:
        return {"error": str(failure), "modified": 0.0, "complete": True}


def _row(identifier: str, name: str, content: dict[str, Any]) -> dict[str, Any]:
    row = {"id": identifier, "name": name, **content}
    row["training"] = not row["complete"] and time.time() - row["modified"] < FRESH_SECONDS
    return row


def _run_urls(url: str, depth: int, pool: ThreadPoolExecutor) -> list[str]:
    folders, found = [url], []
    for level in range(depth + 1):
        remote = [RemoteFolder(folder) for folder in folders]
        is_run = list(pool.map(lambda folder: folder.exists(CONFIG), remote))
        found += [folder.url for folder, run in zip(remote, is_run) if run]
        others = [folder for folder, run in zip(remote, is_run) if not run]
        if level < depth:
            below = pool.map(lambda folder: [f"{folder.url}/{name}" for name in folder.folders()], others)
            folders = [name for names in below for name in names]
    return found


def summary(run: Run) -> dict[str, Any]:
    """What a row of the table says about `run`. GanzooError if one of its files is damaged."""
    rows, alarms, evaluation = run.metrics(), run.alarms(), results.read(run)
    last = rows[-1] if rows else {}
    schedule, grids = run.config["schedule"], grid_steps(run)
    step = int(last.get("step", 0))
    written = run.metrics_file if run.metrics_file.exists() else run.path / CONFIG
    figures = {} if evaluation is None else evaluation.figures
    main = [name for name in MAIN_FIGURES if name in figures]
    return {
        "architecture": architecture_name(run.config),
        "dataset": run.config["dataset"]["name"],
        "kind": run.spec.kind,
        "inputs": bool(run.spec.given.keys() - {LABEL}),
        "step": step,
        "steps": schedule.get("steps"),
        "rate": last.get("images_per_second"),
        "alarms": [f"step {alarm.step:,}: {alarm.name}" for alarm in alarms],
        "figures": {name: figures[name]["value"] for name in dict.fromkeys([*main, *figures])},
        "grid": grids[-1] if grids else None,
        "complete": schedule.get("steps") is not None and step >= schedule["steps"],
        "modified": written.stat().st_mtime,
    }


def details(run: Run) -> dict[str, Any]:
    """What the page shows of one run: curves, alarms, sample grids, settings and figures."""
    rows, evaluation = run.metrics(), results.read(run)
    return {
        **summary(run),
        "path": str(run.path),
        "settings": run.config["settings"],
        "seed": run.config.get("seed"),
        "classes": run.config["dataset"]["class_names"],
        "curves": curves(rows),
        "alarm_list": [vars(alarm) for alarm in run.alarms()],
        "grids": grid_steps(run),
        "checkpoint": newest.name if (newest := next(iter(checkpoint.checkpoints(run.checkpoints)), None)) else None,
        "evaluation": {} if evaluation is None else evaluation.figures,
        "verdicts": [] if evaluation is None else evaluation.verdicts,
    }


def curves(rows: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """The lines to draw, by name: points (step, value), thinned."""
    names = dict.fromkeys(name for row in rows for name in row if name not in NOT_CURVES)
    lines = {
        name: [(float(row["step"]), float(row[name])) for row in rows if row.get(name) is not None] for name in names
    }
    return {name: list(thinned(line)) for name, line in lines.items()}


def grid_steps(run: Run) -> list[int]:
    """The steps of which there are sample grids, ascending."""
    stems = (path.stem.removeprefix("step-") for path in run.samples.glob("step-*.png"))
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def read_grid(run: Run, step: int) -> bytes:
    """The PNG file of the sample grid of `step`. GanzooError unless it is a file inside of the run."""
    path = run.samples / f"step-{step:08d}.png"
    try:
        if not path.resolve().is_relative_to(run.path.resolve()):
            raise GanzooError(f"{path.name} is a link that leads out of the run.")
        with open_regular(path) as file:
            content = file.read(MAX_GRID_BYTES + 1)
    except OSError as failure:
        raise GanzooError(f"The sample grid of step {step:,} cannot be read: {failure.strerror or failure}.") from None
    if len(content) > MAX_GRID_BYTES or not content.startswith(b"\x89PNG"):
        raise GanzooError(f"The sample grid of step {step:,} is not a PNG file that ganzoo wrote.")
    return content


def _run_directories(folder: Path, depth: int) -> list[Path]:
    if (folder / CONFIG).is_file():
        return [folder]
    if depth == 0:
        return []
    try:
        with os.scandir(folder) as entries:
            below = [Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:  # it vanished, or is not ours to read
        return []
    return [run for path in below for run in _run_directories(path, depth - 1)]


def _version(path: Path) -> tuple[int, ...]:
    """Numbers that change when a file of the run does."""
    numbers = []
    for name in FILES:
        try:
            status = os.stat(path / name)
            numbers += [status.st_mtime_ns, status.st_size]
        except OSError:
            numbers += [0, 0]
    return tuple(numbers)
