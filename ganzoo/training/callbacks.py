"""What a training tells while it runs. The loop talks to a `Report`; the command line and TensorBoard are two."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ganzoo.training.failure_detection import Alarm
from ganzoo.training.run import Run


class Report:
    """Hears of everything that happens in a training and keeps silent but for notes. Override what is of interest."""

    def start(self, run: Run, total_steps: int | None, step: int) -> None:
        """Training of `run` begins after `step` steps; `total_steps` is None where time decides."""

    def progress(self, step: int, seconds: float) -> None:
        """One more step is done. Must be cheap and must not read from the device."""

    def metrics(self, row: dict[str, Any]) -> None:
        """A line of metrics.jsonl."""

    def grid(self, path: Path, step: int) -> None:
        """A sample grid was written."""

    def checkpoint(self, path: Path, step: int) -> None:
        """A checkpoint was written."""

    def alarm(self, alarm: Alarm) -> None:
        """Training is failing in a known way."""
        logging.getLogger("ganzoo").warning(str(alarm))

    def note(self, text: str) -> None:
        """Something a person should know."""
        logging.getLogger("ganzoo").warning(text)

    def finish(self) -> None:
        """Training ended, well or not."""


class Reports(Report):
    """Tells several reports at once."""

    def __init__(self, *reports: Report):
        for event in ("start", "progress", "metrics", "grid", "checkpoint", "alarm", "note", "finish"):
            setattr(self, event, partial(_tell, [getattr(report, event) for report in reports]))


def _tell(listeners: list[Callable[..., None]], *args: Any) -> None:
    for listener in listeners:
        listener(*args)


class TensorBoard(Report):
    """Scalars and sample grids for TensorBoard, in the run's own directory, as long as it can be written."""

    def __init__(self, run: Run, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=step + 1)
        self.hook = threading.excepthook
        threading.excepthook = self._of_a_thread

    def _of_a_thread(self, failure: Any) -> None:
        """Its writer is a thread of its own: where the disk is full, that is for the training to say, and once."""
        if not (type(failure.thread).__module__.startswith("tensorboard") and isinstance(failure.exc_value, OSError)):
            self.hook(failure)

    def metrics(self, row: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            for name, value in row.items():
                if name != "step":
                    self.writer.add_scalar(name, value, row["step"])

    def grid(self, path: Path, step: int) -> None:
        import numpy as np
        from PIL import Image

        pixels = np.asarray(Image.open(path))
        with contextlib.suppress(OSError):
            self.writer.add_image("samples", pixels, step, dataformats="HW" if pixels.ndim == 2 else "HWC")

    def alarm(self, alarm: Alarm) -> None:
        self.writer.add_text("alarms", str(alarm), alarm.step)

    def note(self, text: str) -> None:
        pass

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            self.writer.close()
        threading.excepthook = self.hook


def tensorboard(run: Run, step: int) -> tuple[list[Report], list[str]]:
    """A TensorBoard report where tensorboard is installed, and a note where it is but does not work."""
    if importlib.util.find_spec("tensorboard") is None:
        return [], []
    try:
        return [TensorBoard(run, step)], []
    except Exception as failure:  # whatever ails an optional library must not end a training
        return [], [f"TensorBoard gets nothing of this run: {failure}"]
