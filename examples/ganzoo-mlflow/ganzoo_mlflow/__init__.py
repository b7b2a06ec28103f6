"""A logger for MLflow: `ganzoo train ... --logger mlflow`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganzoo import Callback
from ganzoo.errors import UsageError


class Logger(Callback):
    """Metrics, settings and sample grids in one run of MLflow; a resumed training continues it.

    MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and the other variables of MLflow apply.
    """

    def __init__(self) -> None:
        try:
            import mlflow
        except ImportError:
            raise UsageError("--logger mlflow needs MLflow: pip install mlflow") from None
        self.mlflow = mlflow
        self.started = False

    def on_start(self, training: Any) -> None:
        folder = training.run.path
        id_file = folder / "mlflow-id.txt"
        known = id_file.read_text() if id_file.exists() else None
        try:
            run = self.mlflow.start_run(run_id=known, run_name=folder.name)
        except self.mlflow.MlflowException as failure:
            raise UsageError(f"MLflow starts no run: {failure}") from failure
        self.started = True
        if known is None:
            id_file.write_text(run.info.run_id)
            self.mlflow.log_params(training.run.config["settings"])

    def on_metrics(self, row: dict[str, Any]) -> None:
        self.mlflow.log_metrics({name: value for name, value in row.items() if name != "step"}, step=row["step"])

    def on_samples(self, path: Path, step: int) -> None:
        self.mlflow.log_artifact(str(path), "samples")

    def on_end(self) -> None:
        if self.started:
            self.mlflow.end_run()
