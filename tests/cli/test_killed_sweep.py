"""A sweep that is killed and started again ends in the same table.

The trainings are forked instead of started as new interpreters, which would take most of the time.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganzoo.cli import launchers, main
from ganzoo.cli import sweep as sweeps
from tests.ranks import ended, join, start
from tests.training.test_faults import command

WORDS = ("sweep", "vanilla", "--dataset", "ring", "--steps", 12, "--log-every", 1, "--checkpoint-every", 4)
WORDS = (*WORDS, "--set", "batch_size=16", "--seeds", "0,1", "--out", "runs", "--json")
HOLD = Path("hold")
"""While there is this file, trainings have not written anything yet, as when they import torch."""


class Forked:
    """Runs a command as `subprocess.Popen` does, in a fork of this process. Its number is in the file "trainings"."""

    def __init__(self, words: list[str], stdout: Any, **_: Any):
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            sys.stdout = sys.stderr = os.fdopen(os.dup(stdout.fileno()), "a", buffering=1)
            while HOLD.exists():
                time.sleep(0.01)
            sys.argv = ["ganzoo", *words[3:]]
            try:
                main()
            except SystemExit as end:
                os._exit(end.code if isinstance(end.code, int) else bool(end.code))
            os._exit(0)
        with open("trainings", "a") as file:
            file.write(f"{self.pid}\n")

    def poll(self) -> int | None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None


def sweep(folder: Path, again: bool = False) -> None:
    launchers.subprocess = SimpleNamespace(Popen=Forked, STDOUT=None, DEVNULL=None)  # type: ignore[assignment]
    sweeps._check = lambda *_: HOLD.unlink(missing_ok=True) if again else None
    (folder / "output").unlink(missing_ok=True)
    command(folder, *WORDS)


def table(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "output").read_text())
    for row in rows:
        row["values"].pop("seconds")
    return rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The table of a sweep that nobody kills."""
    folder = tmp_path_factory.mktemp("whole")
    assert join(start(sweep, folder), 300) == 0, (folder / "output").read_text()
    rows = table(folder)
    assert rows[0]["seeds"] == 2
    return rows


def started(folder: Path) -> bool:
    return (folder / "trainings").exists() and (folder / "trainings").read_text().endswith("\n")


def saved(folder: Path) -> bool:
    return (folder / "runs/batch_size=16-seed=0/checkpoints/step-00000004/manifest.json").exists()


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with its training"])
@pytest.mark.parametrize("moment", [started, saved])
def test_a_killed_sweep_ends_in_the_same_table(
    moment: Callable[[Path], bool], alone: bool, whole: list[dict[str, Any]], tmp_path: Path
) -> None:
    if moment is started:
        (tmp_path / HOLD).touch()
    process = start(sweep, tmp_path)
    with ended([process]):
        while not moment(tmp_path):
            assert process.is_alive(), (tmp_path / "output").read_text()
            time.sleep(0.01)
        os.kill(process.pid or 0, signal.SIGKILL)
        join(process)
    if not alone:
        for pid in map(int, (tmp_path / "trainings").read_text().split()):
            os.kill(pid, signal.SIGKILL)
    assert join(start(sweep, tmp_path, True), 300) == 0, (tmp_path / "output").read_text()
    assert table(tmp_path) == whole


def test_a_log_is_locked_as_long_as_its_training_lives(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=log.open("w"))
    assert not launchers.is_written(log)
    process.communicate(b"\n")
    job = launchers._Process(["sleep", "10"], log, {**os.environ})
    assert launchers.is_written(log)
    job.stop()
    job.wait()
    assert not launchers.is_written(log)
