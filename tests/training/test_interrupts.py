"""Signals that ask a training to stop or to save, one process and several ranks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ganzoo
from ganzoo.training import checkpoint
from ganzoo.training.callbacks import Callback
from ganzoo.training.interrupts import StopRequest
from tests.ranks import ended, join, start
from tests.runs import assert_same, last_state
from tests.training.test_faults import SMALL, command

TRAIN = ("train", "vanilla", "--dataset", "digits", "--checkpoint-every", 10**6, "--out", "run")


class Sends(Callback):
    """Sends a signal to this process after step 3."""

    def __init__(self, number: int):
        self.number = number
        self.saved: list[int] = []
        self.notes: list[str] = []

    def on_step(self, step: int, seconds: float) -> None:
        if step == 3:
            os.kill(os.getpid(), self.number)

    def on_checkpoint(self, path: Path, step: int) -> None:
        self.saved.append(step)

    def on_note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_stop_saves_and_a_resume_is_exact(number: signal.Signals, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        ganzoo.train("vanilla", steps=6, out=tmp_path / "run", callbacks=[Sends(number)], **SMALL)
    assert ended.value.code == 128 + number
    assert checkpoint.newest_valid(tmp_path / "run" / "checkpoints")[0].name == "step-00000003"
    ganzoo.train(resume=tmp_path / "run")
    ganzoo.train("vanilla", steps=6, out=tmp_path / "whole", **SMALL)
    assert_same(last_state(tmp_path / "run"), last_state(tmp_path / "whole"))


def test_sigusr1_saves_and_training_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    sends = Sends(signal.SIGUSR1)
    ganzoo.train("vanilla", steps=6, out=tmp_path / "run", callbacks=[sends], **SMALL)
    assert sends.saved == [0, 3, 6]
    assert sends.notes == ["SIGUSR1 asked for a checkpoint: that of step 3 is saved."]
    ganzoo.train("vanilla", steps=6, out=tmp_path / "whole", **SMALL)
    assert_same(last_state(tmp_path / "run"), last_state(tmp_path / "whole"))


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_closes_leaves_a_checkpoint(tmp_path: Path) -> None:
    process = start(command, tmp_path, *TRAIN, "--steps", 10**6)
    with ended([process]):
        while not (tmp_path / "run" / "checkpoints" / "step-00000000").exists():
            assert process.is_alive()
            time.sleep(0.01)
        os.kill(process.pid or 0, signal.SIGHUP)
        assert join(process) == 129
    assert "Resume with: ganzoo train --resume run" in (tmp_path / "output").read_text()


def test_the_launcher_of_ranks_forwards_sigusr1(tmp_path: Path) -> None:
    words = [*map(str, TRAIN), "--steps", "1000000", "--nproc", "2", "--set", "batch_size=16"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ganzoo", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    saved = tmp_path / "run" / "checkpoints"
    try:
        deadline = time.monotonic() + 90
        while not (saved / "step-00000000").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        while len(checkpoint.checkpoints(saved)) < 2 and time.monotonic() < deadline:
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.2)
        assert len(checkpoint.checkpoints(saved)) == 2
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=60)[0].decode()
    finally:
        process.kill()
    assert process.returncode == 143, output
    assert checkpoint.verify(checkpoint.checkpoints(saved)[0]) is None
