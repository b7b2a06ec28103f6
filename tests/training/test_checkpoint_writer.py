"""Checkpoints beside the training: copied, written by a thread, told and failed in the training's own thread."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import ganzoo
from ganzoo.core import memory
from ganzoo.core.errors import CheckpointError
from ganzoo.training import checkpoint, checkpoint_writer
from tests.runs import assert_same, last_state
from tests.training.test_faults import SMALL

GIB = 1 << 30


class Notes(ganzoo.Callback):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.threads: set[str] = set()

    def on_note(self, text: str) -> None:
        self.notes.append(text)

    def on_checkpoint(self, path: Path, step: int) -> None:
        assert checkpoint.verify(path) is None
        self.threads.add(threading.current_thread().name)


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, stepped, blocked = checkpoint.save, threading.Event(), []

    def slow(directory: Path, step: int, *rest: Any) -> Path:
        if step == 2:
            blocked.append(stepped.wait(60))  # until two further steps have been computed
        return save(directory, step, *rest)

    class Steps(Notes):
        def on_step(self, step: int, seconds: float) -> None:
            if step == 4:
                stepped.set()

    monkeypatch.setattr(checkpoint, "save", slow)
    heard = Steps()
    run = ganzoo.train("vanilla", out=tmp_path / "run", steps=5, checkpoint_every=2, callbacks=[heard], **SMALL)
    assert blocked == [True]
    assert heard.threads == {threading.main_thread().name}
    monkeypatch.setattr(checkpoint, "save", save)
    middle = ganzoo.train("vanilla", out=tmp_path / "middle", steps=4, **SMALL)
    assert_same(weights(run.checkpoints / "step-00000004"), weights(middle.checkpoints / "step-00000004"))


def weights(path: Path) -> bytes:
    return (path / "model.safetensors").read_bytes() + (path / "ema.safetensors").read_bytes()


def test_where_memory_is_short_training_waits_and_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_writer, "available_memory", lambda: GIB // 8)
    heard = Notes()
    ganzoo.train("vanilla", out=tmp_path / "short", steps=4, checkpoint_every=2, callbacks=[heard], **SMALL)
    (note,) = heard.notes
    assert note.startswith(
        "Training waits while checkpoints are written: a copy of its state takes 0.0 GiB, and 0.1 GiB"
    )
    ganzoo.train("vanilla", out=tmp_path / "ample", steps=4, checkpoint_every=2, **SMALL)
    assert_same(last_state(tmp_path / "short"), last_state(tmp_path / "ample"))


def test_a_checkpoint_that_cannot_be_written_ends_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = checkpoint.save

    def full(directory: Path, step: int, *rest: Any) -> Path:
        if step == 2:
            raise CheckpointError("the disk is full")
        return save(directory, step, *rest)

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(CheckpointError, match="the disk is full"):
        ganzoo.train("vanilla", out=tmp_path / "run", steps=9, checkpoint_every=2, **SMALL)
    assert checkpoint.newest_valid(tmp_path / "run" / "checkpoints")[0].name == "step-00000000"


def test_memory_is_bounded_by_machine_and_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_memory() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4194304 kB\n")
    assert memory.available_memory() == 4 * GIB
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text(f"{2 * GIB}\n")
    assert memory.available_memory() == 4 * GIB
    (tmp_path / "memory.max").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"file 5\ninactive_file {GIB // 2}\n")
    assert memory.available_memory() == 1.5 * GIB
    assert memory.in_gibibytes(3 * GIB // 2) == "1.5 GiB"
