"""Event files for TensorBoard."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from pathlib import Path
from typing import Any

from ganzoo.core.files import open_regular
from ganzoo.training.callbacks.callback import Callback, Training
from ganzoo.training.failure_detection import Alarm


class TensorBoard(Callback):
    """Scalars, sample grids and alarms for TensorBoard, in the run's folder `tensorboard`.

    Does nothing if the package tensorboard is not installed. Neither an error when TensorBoard starts nor a full disk
    ends training.
    """

    def __init__(self) -> None:
        self.writer: Any = None

    def on_start(self, training: Training) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(training.run.path / "tensorboard"), purge_step=training.state.step + 1)
        except Exception as failure:  # an optional library must not end training, whatever it raises
            training.callbacks.on_note(f"TensorBoard event files are not written: {failure}")
            return
        self.excepthook = threading.excepthook
        threading.excepthook = self._ignore_full_disk

    def _ignore_full_disk(self, failure: Any) -> None:
        """Ignore OSErrors of TensorBoard's writer thread: training itself reports a full disk."""
        of_writer = type(failure.thread).__module__.startswith("tensorboard")
        if not (of_writer and isinstance(failure.exc_value, OSError)):
            self.excepthook(failure)

    def on_metrics(self, row: dict[str, Any]) -> None:
        if self.writer is not None:
            with contextlib.suppress(OSError):
                for name, value in row.items():
                    if name != "step":
                        self.writer.add_scalar(name, value, row["step"])

    def on_samples(self, path: Path, step: int) -> None:
        if self.writer is None:
            return
        import numpy as np
        from PIL import Image

        with contextlib.suppress(OSError, ValueError, SyntaxError):  # a resumed run may bring any file of this name
            with open_regular(path) as file, Image.open(file, formats=["PNG"]) as picture:
                pixels = np.asarray(picture)
            self.writer.add_image("samples", pixels, step, dataformats="HW" if pixels.ndim == 2 else "HWC")

    def on_alarm(self, alarm: Alarm) -> None:
        if self.writer is not None:
            self.writer.add_text("alarms", str(alarm), alarm.step)

    def on_end(self) -> None:
        if self.writer is not None:
            with contextlib.suppress(OSError):
                self.writer.close()
            threading.excepthook = self.excepthook
