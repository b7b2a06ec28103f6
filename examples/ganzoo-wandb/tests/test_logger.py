"""The logger with a stand-in for wandb."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

import ganzoo
from ganzoo.errors import UsageError


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    module = MagicMock(Error=RuntimeError)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_rows_and_grids_are_sent_and_a_resume_continues_the_run(wandb: MagicMock, tmp_path: Path) -> None:
    from ganzoo_wandb import Logger

    options = {"log_every": 1, "callbacks": [Logger()]}
    run = ganzoo.train("vanilla", dataset="digits", steps=2, batch_size=8, out=tmp_path / "run", **options)
    ganzoo.train(resume=run.path, steps=3, log_every=1, callbacks=[Logger()])
    first, resumed = (call.kwargs["id"] for call in wandb.init.call_args_list)
    assert first == resumed == (run.path / "wandb-id.txt").read_text()
    assert wandb.init.call_args.kwargs["config"]["architecture"] == "vanilla"
    rows = [call for call in wandb.init().log.call_args_list if "discriminator_loss" in call.args[0]]
    assert [call.kwargs["step"] for call in rows] == [1, 2, 3]
    assert str(run.grid) in [call.args[0] for call in wandb.Image.call_args_list]
    assert wandb.init().finish.call_count == 2


def test_a_service_that_refuses_is_one_message(wandb: MagicMock, tmp_path: Path) -> None:
    from ganzoo_wandb import Logger

    wandb.init.side_effect = RuntimeError("not logged in")
    with pytest.raises(UsageError, match="Weights & Biases starts no run: not logged in"):
        ganzoo.train("vanilla", dataset="digits", steps=2, out=tmp_path / "run", callbacks=[Logger()])


def test_a_missing_library_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo_wandb import Logger

    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match="pip install wandb"):
        Logger()
