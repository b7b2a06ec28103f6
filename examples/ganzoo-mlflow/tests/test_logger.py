"""The logger with a stand-in for MLflow."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest

import ganzoo
from ganzoo.errors import UsageError


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    module = MagicMock(MlflowException=RuntimeError)
    module.start_run.return_value.info.run_id = "abc"
    monkeypatch.setitem(sys.modules, "mlflow", module)
    return module


def test_rows_and_grids_are_sent_and_a_resume_continues_the_run(mlflow: MagicMock, tmp_path: Path) -> None:
    from ganzoo_mlflow import Logger

    options = {"log_every": 1, "callbacks": [Logger()]}
    run = ganzoo.train("vanilla", dataset="digits", steps=2, batch_size=8, out=tmp_path / "run", **options)
    ganzoo.train(resume=run.path, steps=3, log_every=1, callbacks=[Logger()])
    assert [call.kwargs["run_id"] for call in mlflow.start_run.call_args_list] == [None, "abc"]
    assert mlflow.log_params.call_args.args[0]["batch_size"] == 8
    assert [call.kwargs["step"] for call in mlflow.log_metrics.call_args_list] == [1, 2, 3]
    assert str(run.grid) in [call.args[0] for call in mlflow.log_artifact.call_args_list]
    assert mlflow.end_run.call_count == 2


def test_a_service_that_refuses_is_one_message(mlflow: MagicMock, tmp_path: Path) -> None:
    from ganzoo_mlflow import Logger

    mlflow.start_run.side_effect = RuntimeError("not logged in")
    with pytest.raises(UsageError, match="MLflow starts no run: not logged in"):
        ganzoo.train("vanilla", dataset="digits", steps=2, out=tmp_path / "run", callbacks=[Logger()])


def test_a_missing_library_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo_mlflow import Logger

    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match="pip install mlflow"):
        Logger()
