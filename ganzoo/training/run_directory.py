"""The directory of a run before there is one, and where a run may be if it is not where it was looked for."""

from __future__ import annotations

from pathlib import Path

from ganzoo.core.errors import UsageError
from ganzoo.core.files import is_locked
from ganzoo.core.paths import shell_word
from ganzoo.training.run_config import CONFIG


def free(name: str) -> Path:
    """The first of `runs/NAME-001`, `-002`, ... that does not exist, which is made."""
    runs, number = Path("runs"), 1
    runs.mkdir(exist_ok=True)  # FileExistsError if it is a file, or a link to nowhere
    while True:
        path = runs / f"{name}-{number:03d}"
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1


def empty(path: Path) -> Path:
    """Make the directory, unless it exists and is empty. UsageError if it is anything else."""
    unfinished = f".{CONFIG}-"  # left by a training that was killed as it began
    if path.exists() and (not path.is_dir() or any(not entry.name.startswith(unfinished) for entry in path.iterdir())):
        raise not_empty(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def not_empty(path: Path) -> UsageError:
    """The error of a directory that is in use."""
    if is_locked(path / ".lock"):
        return UsageError(f"{path} is being trained by another process.")
    return UsageError(
        f"{path} exists and is not an empty directory. Choose another --out, or --resume {shell_word(path)}."
    )


def run_around(path: Path) -> str:
    """A hint if `path` is a file or folder of a run, such as a checkpoint."""
    parents = list(path.parents)[:3]
    run = next((parent for parent in parents if (parent / CONFIG).is_file()), None)
    return "" if run is None else f" It is part of the run {run}: give that directory."


def newest_run_here() -> str:
    """A hint at the newest run in `runs` here, if there is any."""
    runs = sorted(Path("runs").glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime, reverse=True)
    return f" The newest run here is {runs[0].parent}." if runs else ""
