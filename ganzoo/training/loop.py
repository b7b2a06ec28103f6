"""The training loop: the whole of it, top to bottom."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ganzoo import imaging
from ganzoo.errors import TrainingError
from ganzoo.training import checkpoint, graph
from ganzoo.training.batches import Batches
from ganzoo.training.report import Report
from ganzoo.training.run import Run
from ganzoo.training.signals import StopRequest
from ganzoo.training.state import TrainingState

LOG_EVERY = 50
KEEP_CHECKPOINTS = 2
SAMPLE_SEED = 0


@dataclass(frozen=True)
class Schedule:
    """When to stop (after `steps` or `minutes`, whichever is given), and what to do on the way every so many steps."""

    steps: int | None
    minutes: float | None
    checkpoint_every: int
    sample_every: int

    def over(self, step: int, seconds: float) -> bool:
        if self.steps is not None and step >= self.steps:
            return True
        return self.minutes is not None and seconds >= 60 * self.minutes


def train(
    state: TrainingState, batches: Batches, run: Run, schedule: Schedule, report: Report, stop: StopRequest,
    cuda_graph: bool | None = None,
) -> None:  # fmt: skip
    """Train until `schedule` is over or `stop` is requested; the last thing done is always a checkpoint.

    `cuda_graph` says whether steps are replayed from a CUDA graph; None is where that works.
    """
    history = History(run, state)
    start = time.monotonic() - state.seconds
    state.gan.train()
    if state.step == 0:
        write_grid(state, run, report)
        save(state, run, history, report)
    if not schedule.over(state.step, state.seconds):
        play = graph.stepper(state, batches, play_step, cuda_graph, report.note)
    while not schedule.over(state.step, state.seconds) and not stop.requested:
        history.add(play())
        average(state)
        state.step += 1
        state.seconds = time.monotonic() - start
        report.progress(state.step, state.seconds)
        if state.step % LOG_EVERY == 0:
            history.write(report)
        if state.step % schedule.sample_every == 0:
            write_grid(state, run, report)
        if state.step % schedule.checkpoint_every == 0:
            save(state, run, history, report)
    write_grid(state, run, report)
    save(state, run, history, report)


def train_step(state: TrainingState, batches: Batches) -> dict[str, Tensor]:
    """One generator step after its discriminator steps. Returns signals that stay on the device."""
    first = state.step * state.gan.config.discriminator_steps
    signals = play_step(state, lambda k: batches(first + k))
    average(state)
    return signals


def play_step(state: TrainingState, draw: graph.Draw) -> dict[str, Tensor]:
    """All of a step but the moving average; `draw(k)` gives the real images of discriminator step k.

    It does the same on the device in every step, so that it can be captured in a CUDA graph.
    """
    gan, config = state.gan, state.gan.config

    state.train_discriminator(True)
    for k in range(config.discriminator_steps):
        real, labels = draw(k)
        last = k == config.discriminator_steps - 1  # the generator then learns from the fakes of the last step
        with state.autocast():
            with torch.set_grad_enabled(last):
                fake = gan.generate(gan.latent(config.batch_size, state.rng), labels)
            discriminator_loss, signals = gan.discriminator_loss(real, fake.detach(), labels, state.rng)
        state.update_discriminator(discriminator_loss)
        gan.after_discriminator_step()

    state.train_discriminator(False)
    with state.autocast():
        generator_loss = gan.generator_loss(fake, labels)
    state.update_generator(generator_loss)
    return {"discriminator_loss": discriminator_loss.detach(), "generator_loss": generator_loss.detach()} | signals


def average(state: TrainingState) -> None:
    """Fold the generator that a step has made into the moving average."""
    images = state.gan.config.discriminator_steps * state.gan.config.batch_size
    state.ema.update(state.images_seen + images, images)


def save(state: TrainingState, run: Run, history: History, report: Report) -> None:
    """Write a checkpoint, after making sure that what it would hold is finite."""
    history.write(report)
    if state.step != state.saved_step:
        if not state.finite():
            raise diverged(run, f"after step {state.step} some weights are not finite")
        path = state.save(run.checkpoints)
        checkpoint.prune(run.checkpoints, KEEP_CHECKPOINTS)
        report.checkpoint(path, state.step)


def write_grid(state: TrainingState, run: Run, report: Report) -> None:
    """Images of the generator's average for noise that is the same all through the training."""
    path = run.samples / f"step-{state.step:08d}.png"
    if not path.exists():
        imaging.save(sample_grid(state), path)
        report.grid(path, state.step)


def sample_grid(state: TrainingState, columns: int = 10) -> Tensor:
    """A picture uint8 [C, H, W]: one row per class (at most 10) for a conditional GAN, else 8 rows."""
    gan = state.gan
    rows = min(gan.spec.classes, 10) or 8
    labels = torch.arange(rows).repeat_interleave(columns) if gan.conditional else None
    live, gan.generator = gan.generator, state.ema.network
    try:
        images = gan.sample(rows * columns, labels, seed=SAMPLE_SEED)
    finally:
        gan.generator = live
    return imaging.grid(images, columns)


class History:
    """Signals since the last line of metrics.jsonl, kept on the device and read from there once a line."""

    def __init__(self, run: Run, state: TrainingState):
        self.run = run
        self.state = state
        self.names: list[str] = []
        self.rows: list[Tensor] = []
        self.since = time.monotonic()

    def add(self, signals: dict[str, Tensor]) -> None:
        self.names = list(signals)
        self.rows.append(torch.stack([value.float() for value in signals.values()]))

    def write(self, report: Report) -> None:
        """Average what was added since the last call into one line. TrainingError if any step was not finite."""
        if not self.rows:
            return
        table = torch.stack(self.rows).cpu()
        self.rows.clear()
        self._refuse_non_finite(table)
        now = time.monotonic()
        config = self.state.gan.config
        images = len(table) * config.discriminator_steps * config.batch_size
        row = {"step": self.state.step, "images": self.state.images_seen, "seconds": round(self.state.seconds, 3)}
        row |= {name: round(value, 6) for name, value in zip(self.names, table.mean(dim=0).tolist())}
        row["images_per_second"] = round(images / max(now - self.since, 1e-9), 1)
        self.since = now
        with self.run.metrics_file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        report.metrics(row)

    def _refuse_non_finite(self, table: Tensor) -> None:
        for back, row in enumerate(table.tolist()):
            for name, value in zip(self.names, row):
                if not math.isfinite(value):
                    step = self.state.step - len(table) + back + 1
                    phase = "generator" if name == "generator_loss" else "discriminator"
                    raise diverged(self.run, f"at step {step}, in the {phase}'s phase, {name} became {value}")


def diverged(run: Run, what: str) -> TrainingError:
    """The error for a training that has left the finite numbers."""
    last = checkpoint.checkpoints(run.checkpoints)
    kept = f"The last good checkpoint is {last[0]}." if last else "There is no checkpoint."
    return TrainingError(
        f"Training diverged: {what}. {kept} "
        "Try a lower learning rate (--set generator_lr=..., discriminator_lr=...) or --precision fp32."
    )
