"""Training progress on the terminal: a live bar, or plain lines if the output is not a terminal."""

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
from ganzoo.core.spec import LABEL
from ganzoo.data.modality import get_modality
from ganzoo.training.callbacks import Callback, Training
from ganzoo.training.failure_detection import Alarm
from ganzoo.training.run import Run
from ganzoo.training.samples import translations

REFRESH_SECONDS = 0.1
LINE_SECONDS = 5.0


class Bar(Bars):
    """A bar with a line of text below it: side by side, they would not fit into 80 columns."""

    state = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        yield Text(self.state)


class Progress(Callback):
    """Shows losses, D(real), D(fake), images/s and the time left. `saved_step` is that of the last checkpoint."""

    def __init__(self, console: Console):
        self.console = console
        self.training: Training | None = None
        self.first_step = 0
        self.saved_step: int | None = None
        self.bar: Bar | None = None
        self.drawn = 0.0

    def on_start(self, training: Training) -> None:
        self.training = training
        self.first_step = step = training.state.step
        self.saved_step = step if step else None  # a resumed run has its checkpoint already
        self.total_steps = training.config.steps
        minutes = training.config.minutes
        self.total_seconds = None if minutes is None else 60 * minutes
        self.console.print(f"[bold]{escape(training.run.path.name)}[/]: {_describe_run(training.run)}", soft_wrap=True)
        if self.console.is_terminal:
            self.bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            total = self.total_steps if self.total_seconds is None else self.total_seconds
            self.task = self.bar.add_task(f"step {step:,}", total=total, speed="")
            self.bar.start()

    def on_step(self, step: int, seconds: float) -> None:
        now = time.monotonic()
        if self.bar is None or now - self.drawn < REFRESH_SECONDS:
            return
        self.drawn = now
        done = step if self.total_seconds is None else seconds
        self.bar.update(self.task, completed=done, description=self._position(step))

    def on_metrics(self, row: dict[str, Any]) -> None:
        speed = f"{row['images_per_second']:,.0f} images/s"
        if self.bar is not None:
            self.bar.state = describe(row)
            self.bar.update(self.task, speed=speed)
        elif time.monotonic() - self.drawn >= LINE_SECONDS:
            self.drawn = time.monotonic()
            line = f"{self._position(row['step'])}  {row['seconds']:.0f} s  {describe(row)}  {speed}"
            self.console.print_line(line)

    def on_evaluation(self, row: dict[str, Any]) -> None:
        value = row.get(row["metric"])
        result = row["metric"] if value is None else f"{row['metric']} {value:.4g}"
        self.console.print_line(f"{self._position(row['step'])}  {result}{' (best)' if row['best'] else ''}")

    def on_checkpoint(self, path: Path, step: int) -> None:
        self.saved_step = step

    def on_alarm(self, alarm: Alarm) -> None:
        self.console.print_prose(f"[bold red]Alarm:[/] {escape(str(alarm))}")

    def on_note(self, text: str) -> None:
        self.console.print_prose(f"[yellow]Note:[/] {escape(text)}")

    def on_end(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def draw_preview(self) -> None:
        """Draw some samples of the moving average, from memory."""
        from ganzoo.cli.terminal import PLOTTED, PREVIEW, draw

        assert self.training is not None
        gan, data = self.training.state.gan, self.training.batches.data
        with self.training.state.average():
            if gan.spec.given.keys() - {LABEL}:
                kinds = translations(gan, data, 5)
            else:
                count = PREVIEW if get_modality(gan.spec.kind).in_grid else PLOTTED
                kinds = [(gan.sample(count, seed=0), gan.spec.target)]
        draw(kinds, self.console)

    def _position(self, step: int) -> str:
        return f"step {step:,}" if self.total_steps is None else f"step {step:,}/{self.total_steps:,}"


def describe(row: dict[str, Any]) -> str:
    """The losses and diagnostics of a row of metrics; a GAN with rules of its own may log others."""
    losses = {"loss D": "discriminator_loss", "G": "generator_loss"}
    shown = [f"{label} {row[name]:.3f}" for label, name in losses.items() if name in row]
    scores = {"D(real)": "d_real", "D(fake)": "d_fake", "diversity": "diversity"}
    scored = [f"{label} {row[name]:.2f}" for label, name in scores.items() if name in row]
    return "  ".join(part for part in (" ".join(shown), " ".join(scored[:-1]), scored[-1]) if part)


def _describe_run(run: Run) -> str:
    data, config = run.config["dataset"], run.config
    spec = run.spec
    shape = "x".join(map(str, spec.shape)) if len(spec.shape) > 1 else f"of {spec.channels} numbers"
    noun = get_modality(spec.kind).noun
    return (
        f"{escape(config['architecture'])} on {data['images']:,} {noun} {shape} of {escape(data['name'])}, "
        f"{config['device']} {config['precision']}, seed {config['seed']}"
    )
