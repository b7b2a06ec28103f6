"""Writes checkpoints beside the training: the state is copied, and a thread writes the copy while training goes on."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from ganzoo.core import distributed
from ganzoo.core.memory import available_memory, in_gibibytes
from ganzoo.training import checkpoint
from ganzoo.training.callbacks import Callback
from ganzoo.training.run import Run
from ganzoo.training.state import SavedState, TrainingState

KEEP = 2
SPARE = 1 << 28
"""Bytes of memory that a copy must leave free; otherwise training waits while its checkpoints are written."""


class CheckpointWriter:
    """The checkpoints of `run`. While entered, at most one is being written; leaving waits for it.

    Callbacks hear of a checkpoint, and a failure to write it is raised, in the training's own thread: by the next call
    of any method.
    """

    def __init__(self, run: Run, callbacks: Callback):
        self.run = run
        self.callbacks = callbacks
        self.told = False
        self.thread: threading.Thread | None = None
        self.written: Path | None = None
        self.failure: Exception | None = None

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.thread is not None:
            self.thread.join()
        if error is None:
            self.wait()

    def save(self, state: TrainingState) -> None:
        """Begin to write a checkpoint of `state`, after the one before it; write it at once if memory is short."""
        self.wait()
        beside = self._fits(state)
        saved = state.capture(copy=beside)
        if saved is None:  # rank 0 writes it
            return self.callbacks.on_checkpoint(checkpoint.path_of(self.run.checkpoints, state.step), state.step)
        self.thread = threading.Thread(target=self._write, args=(saved,), name="checkpoint")
        self.thread.start()
        if not beside:
            self.wait()

    def poll(self) -> None:
        """Tell the callbacks of a checkpoint that has been written meanwhile."""
        if self.thread is not None and not self.thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait until nothing is being written."""
        if self.thread is None:
            return
        self.thread.join()
        self.thread = None
        if self.failure is not None:
            raise self.failure
        assert self.written is not None
        self.callbacks.on_checkpoint(self.written, checkpoint.step_of(self.written))

    def _write(self, saved: SavedState) -> None:
        try:
            self.written = saved.write(self.run.checkpoints)
            checkpoint.prune(self.run.checkpoints, KEEP)
        except Exception as failure:  # `wait` raises it in the training's thread
            self.failure = failure

    def _fits(self, state: TrainingState) -> bool:
        """Whether a copy of `state` fits into memory; the user is told once if it does not."""
        if distributed.rank() > 0:
            return False
        needed, available = state.nbytes(), available_memory()
        fits = available is None or needed + SPARE <= available
        if not fits and not self.told:
            self.told = True
            self.callbacks.on_note(
                f"Training waits while checkpoints are written: a copy of its state takes {in_gibibytes(needed)}, and "
                f"{in_gibibytes(available or 0)} of memory are available."
            )
        return fits
