"""Callbacks: a logger can be added without touching the loop."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import ganzoo
from ganzoo import Callback
from ganzoo.training.callbacks import Callbacks, Training
from ganzoo.training.callbacks.callback import FORWARDED

EVENTS = ("on_start", *FORWARDED, "on_end")
SMALL: dict[str, Any] = {"dataset": "digits", "batch_size": 16}


class CSVLog(Callback):
    """A logger as a user would write it."""

    def __init__(self, file: Path):
        self.file = file

    def on_start(self, training: Training) -> None:
        self.file.write_text(f"# {training.run.path.name} from step {training.state.step}\n")

    def on_metrics(self, row: dict[str, Any]) -> None:
        with self.file.open("a") as file:
            file.write(f"{row['step']},{row['generator_loss']}\n")

    def on_end(self) -> None:
        with self.file.open("a") as file:
            file.write("# end\n")


def test_a_users_logger_gets_run_and_metrics(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", steps=3, out=tmp_path / "run", callbacks=[CSVLog(tmp_path / "log.csv")], **SMALL)
    (row,) = run.metrics()
    assert (tmp_path / "log.csv").read_text() == f"# run from step 0\n3,{row['generator_loss']}\n# end\n"


def test_on_end_is_called_if_training_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, step: int, seconds: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(CSVLog, "on_step", fail)
    with pytest.raises(ZeroDivisionError):
        ganzoo.train("vanilla", steps=3, out=tmp_path / "run", callbacks=[CSVLog(tmp_path / "log.csv")], **SMALL)
    assert (tmp_path / "log.csv").read_text().endswith("# end\n")


class Failing(Callback):
    """Fails in one event."""

    def __init__(self, event: str):
        setattr(self, event, self._fail)

    def _fail(self, *_: object) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("event", ["on_start", "on_end"])
def test_a_callback_that_fails_keeps_no_other_from_its_end(event: str, tmp_path: Path) -> None:
    """And one that was never started does not end."""
    first, second = CSVLog(tmp_path / "first.csv"), CSVLog(tmp_path / "second.csv")
    with pytest.raises(ZeroDivisionError):
        ganzoo.train("vanilla", steps=1, out=tmp_path / "run", callbacks=[first, Failing(event), second], **SMALL)
    assert first.file.read_text().endswith("# end\n")
    assert second.file.exists() == (event == "on_end")
    assert event == "on_start" or second.file.read_text().endswith("# end\n")


def test_every_event_is_forwarded_to_every_callback_in_order() -> None:
    calls: list[tuple[str, int]] = []

    class Recorder(Callback):
        def __init__(self, number: int):
            for event in EVENTS:
                setattr(self, event, lambda *_, event=event: calls.append((event, number)))

    callbacks = Callbacks([Recorder(0), Recorder(1)])
    for event in EVENTS:
        getattr(callbacks, event)(*[None] * (event == "on_start"))
    assert calls == [(event, number) for event in EVENTS for number in (0, 1)]
    assert {name for name in vars(Callback) if name.startswith("on_")} == set(EVENTS)


def test_without_callbacks_notes_are_logged_as_warnings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = ganzoo.train("vanilla", steps=1, out=tmp_path / "run", **SMALL)
    with caplog.at_level(logging.WARNING, "ganzoo"):
        ganzoo.train(resume=run.path)
    assert "Nothing is left to train" in caplog.text


def test_evaluations_reach_callbacks_and_the_run(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []

    class Recorder(Callback):
        def on_evaluation(self, row: dict[str, Any]) -> None:
            rows.append(row)

    run = ganzoo.train(
        "vanilla", dataset="ring", batch_size=16, steps=4, evaluate_every=2, best_by="modes", out=tmp_path / "run",
        callbacks=[Recorder()],
    )  # fmt: skip
    assert [row["step"] for row in rows] == [2, 4]
    assert json.loads(json.dumps(rows)) == run.evaluations()


def test_tensorboard_that_fails_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorboard")

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("protobuf is too old")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", fail)
    ganzoo.train("vanilla", steps=1, out=tmp_path / "run", **SMALL)
    assert "TensorBoard event files are not written: protobuf is too old" in caplog.text
