"""Checks of a logger."""

from __future__ import annotations

import contextlib
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ganzoo.testing.kit import CheckError, rule
from ganzoo.training.callbacks import Callback
from ganzoo.training.run import Run
from ganzoo.training.session import Session

SETTINGS = {"batch_size": 8, "generator_widths": (8,), "discriminator_widths": (8,)}


@dataclass(frozen=True)
class LoggerFixture:
    """The logger `logger`."""

    logger: type[Callback]

    def train(self, folder: str) -> tuple[Run, str]:
        """Two steps in a run of `folder`, and one more after a resume; returns what was printed as well."""
        options = {"dataset": "digits", "log_every": 1, "device": "cpu"}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            first = Session.new({"architecture": "vanilla", "steps": 2, **options}, SETTINGS, Path(folder) / "run")
            run = first.train([self.logger()])
            Session.resume(run.path, {"steps": 3}).train([self.logger()])
        return Run.open(run.path), printed.getvalue()


@rule("let the methods of the logger take what ganzoo.Callback documents; read ids of a resumed run from its folder.")
def training(fixture: LoggerFixture) -> None:
    """It follows a training and its resume."""
    with tempfile.TemporaryDirectory() as folder:
        run, _ = fixture.train(folder)
        steps = [row["step"] for row in run.metrics()]
    if steps != [1, 2, 3]:
        raise CheckError(f"with this logger, the run has metrics of the steps {steps}, not 1, 2, 3")


@rule("write to a file in training.run.path, to stderr or to the service that the logger is for.")
def stdout(fixture: LoggerFixture) -> None:
    """It leaves stdout, which other programs may read, alone."""
    with tempfile.TemporaryDirectory() as folder:
        _, printed = fixture.train(folder)
    if printed:
        raise CheckError(f"it prints {printed.splitlines()[0]!r}")
