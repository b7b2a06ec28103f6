"""Writes a run to object storage beside the training: after every checkpoint, and at the end."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from ganzoo.core.errors import StorageError
from ganzoo.core.paths import shell_word
from ganzoo.training.callbacks.callback import Callback, Training


class Upload(Callback):
    """Commits the run to its storage in a thread; the next checkpoint waits for it.

    If the first commit of a new run fails, so does the training. Later, training continues with a note, and what could
    not be uploaded is with the next checkpoint; only if the last commit fails, the error is raised.
    """

    thread: threading.Thread | None = None
    failure: StorageError | None = None
    noted = False
    gave_up = False

    def on_start(self, training: Training) -> None:
        assert training.run.remote is not None
        self.remote, self.callbacks = training.run.remote, training.callbacks

    def on_step(self, step: int, seconds: float) -> None:
        if self.thread is not None and not self.thread.is_alive():
            self._wait()

    def on_checkpoint(self, path: Path, step: int) -> None:
        self._wait()
        self.thread = threading.Thread(target=self._commit, name="upload")
        self.thread.start()

    def on_end(self) -> None:
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        if self.gave_up:
            return
        self._commit()
        if self.failure is None:
            return
        if sys.exc_info()[0] is None:
            raise self._error() from self.failure
        self.callbacks.on_note(str(self._error()))  # the training has failed with an error of its own

    def _error(self) -> StorageError:
        return StorageError(
            f"{self._reason()}. Nothing is lost: the run is in {self.remote.copy}, and this uploads it: "
            f"ganzoo train --resume {shell_word(self.remote.url)}"
        )

    def _commit(self) -> None:
        try:
            self.failure = None
            self.remote.commit()
        except StorageError as failure:
            self.failure = failure

    def _wait(self) -> None:
        """Wait until nothing is being written, and report a failure."""
        if self.thread is None:
            return
        self.thread.join()
        self.thread = None
        if self.failure is None:
            return
        if self.remote.is_unsent():
            self.gave_up = True
            raise self._error() from self.failure
        if not self.noted:
            self.noted = True
            self.callbacks.on_note(
                f"{self._reason()}. Training continues in {self.remote.copy}, and every checkpoint tries again."
            )

    def _reason(self) -> str:
        return str(self.failure).rstrip(".")
