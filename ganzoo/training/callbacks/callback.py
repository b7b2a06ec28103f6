"""The callback protocol: code that runs at the events of training, outside of its loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ganzoo.training.failure_detection import Alarm
from ganzoo.training.run import Run

if TYPE_CHECKING:
    from ganzoo.training.batches import Batches
    from ganzoo.training.config import TrainConfig
    from ganzoo.training.state import TrainingState

FORWARDED = ("on_step", "on_metrics", "on_samples", "on_evaluation", "on_checkpoint", "on_alarm", "on_note")


class Training(Protocol):
    """The attributes of a `Session` that callbacks may use."""

    @property
    def config(self) -> TrainConfig: ...
    @property
    def run(self) -> Run: ...
    @property
    def state(self) -> TrainingState: ...
    @property
    def batches(self) -> Batches: ...
    @property
    def callbacks(self) -> Callbacks: ...


class Callback:
    """Base class of callbacks; every method does nothing.

    Callbacks run on rank 0, unless `every_rank` is true.
    """

    every_rank = False

    def on_start(self, training: Training) -> None:
        """Training begins, or resumes after `training.state.step` steps."""

    def on_step(self, step: int, seconds: float) -> None:
        """A step is complete, `seconds` into the training. Called before a checkpoint is written.

        It must be cheap, and reading from the device would slow training down.
        """

    def on_metrics(self, row: dict[str, Any]) -> None:
        """A row of metrics.jsonl was computed."""

    def on_samples(self, path: Path, step: int) -> None:
        """A sample grid was written to `path`."""

    def on_evaluation(self, row: dict[str, Any]) -> None:
        """A row of evaluations.jsonl was computed."""

    def on_checkpoint(self, path: Path, step: int) -> None:
        """A checkpoint was written to `path`."""

    def on_alarm(self, alarm: Alarm) -> None:
        """Training shows signs of a known failure."""

    def on_note(self, text: str) -> None:
        """A note for the user."""

    def on_end(self) -> None:
        """Training ended, successfully or not."""


class Callbacks(Callback):
    """Forwards every event to several callbacks, in order.

    All whose `on_start` was called hear of the end, even if another one fails, whose error is raised afterwards.
    """

    def __init__(self, callbacks: Iterable[Callback]):
        self._members = list(callbacks)
        self._begun: list[Callback] = []
        for event in FORWARDED:
            setattr(self, event, _forward([getattr(member, event) for member in self._members]))

    def on_start(self, training: Training) -> None:
        for member in self._members:
            self._begun.append(member)
            member.on_start(training)

    def on_end(self) -> None:
        with contextlib.ExitStack() as stack:
            for member in reversed(self._begun):  # the stack is left in reverse order
                stack.callback(member.on_end)


def _forward(receivers: list[Any]) -> Any:
    def event(*arguments: Any) -> None:
        for receive in receivers:
            receive(*arguments)

    return event
