"""A training as it goes, on the terminal: a live bar, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from ganzoo.cli.console import Console, escape
from ganzoo.training.callbacks import Report
from ganzoo.training.failure_detection import Alarm
from ganzoo.training.run import Run

REFRESH_SECONDS = 0.1
LINE_SECONDS = 5.0


class Bar(Bars):
    """A bar, and below it a line of text: beside it, 80 columns would hold neither."""

    state = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.state)


class Progress(Report):
    """Losses, D(real), D(fake), images/s and the time left. `saved` is the step of the last checkpoint."""

    def __init__(self, console: Console):
        self.console = console
        self.run: Run | None = None
        self.saved: int | None = None
        self.bar: Bar | None = None
        self.drawn = 0.0

    def start(self, run: Run, total_steps: int | None, step: int) -> None:
        self.run = run
        self.saved = step if step else None  # a resumed run has its checkpoint already
        self.total_steps = total_steps
        minutes = run.config["schedule"]["minutes"]
        self.total_seconds = None if minutes is None else 60 * minutes
        self.console.print(f"[bold]{escape(run.path.name)}[/]: {_describe(run)}", soft_wrap=True)
        if self.console.is_terminal:
            self.bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            total = total_steps if self.total_seconds is None else self.total_seconds
            self.task = self.bar.add_task(f"step {step:,}", total=total, speed="")
            self.bar.start()

    def progress(self, step: int, seconds: float) -> None:
        now = time.monotonic()
        if self.bar is None or now - self.drawn < REFRESH_SECONDS:
            return
        self.drawn = now
        done = step if self.total_seconds is None else seconds
        self.bar.update(self.task, completed=done, description=self._position(step))

    def metrics(self, row: dict[str, Any]) -> None:
        speed = f"{row['images_per_second']:,.0f} images/s"
        if self.bar is not None:
            self.bar.state = describe(row)
            self.bar.update(self.task, speed=speed)
        elif time.monotonic() - self.drawn >= LINE_SECONDS:
            self.drawn = time.monotonic()
            line = f"{self._position(row['step'])}  {row['seconds']:.0f} s  {describe(row)}  {speed}"
            self.console.tell(line)

    def checkpoint(self, path: Path, step: int) -> None:
        self.saved = step

    def alarm(self, alarm: Alarm) -> None:
        self.console.say(f"[bold red]Alarm:[/] {escape(str(alarm))}")

    def note(self, text: str) -> None:
        self.console.say(f"[yellow]Note:[/] {escape(text)}")

    def finish(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _position(self, step: int) -> str:
        return f"step {step:,}" if self.total_steps is None else f"step {step:,}/{self.total_steps:,}"


def describe(row: dict[str, Any]) -> str:
    """The losses and signals of a line of metrics."""
    return (
        f"loss D {row['discriminator_loss']:.3f} G {row['generator_loss']:.3f}  "
        f"D(real) {row['d_real']:.2f} D(fake) {row['d_fake']:.2f}  diversity {row['diversity']:.2f}"
    )


def _describe(run: Run) -> str:
    data, config = run.config["dataset"], run.config
    spec = run.spec
    shape = "x".join(map(str, spec.shape)) if spec.kind == "images" else f"of {spec.channels} numbers"
    return (
        f"{escape(config['architecture'])} on {data['images']:,} {spec.kind} {shape} of {escape(data['name'])}, "
        f"{config['device']} {config['precision']}, seed {config['seed']}"
    )
