"""The training loop: the whole of it, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.data import ImageData, imaging
from ganzoo.gan import GAN
from ganzoo.training import checkpoint
from ganzoo.training import cuda_graph as graph
from ganzoo.training.batches import Batches
from ganzoo.training.callbacks import Report
from ganzoo.training.diagnostics import Health
from ganzoo.training.interrupts import StopRequest
from ganzoo.training.metrics_logger import History, diverged
from ganzoo.training.run import Run
from ganzoo.training.state import TrainingState

if TYPE_CHECKING:
    from ganzoo.data import Data

LOG_EVERY = 50
AGREE_EVERY = 10
KEEP_CHECKPOINTS = 2
SAMPLE_SEED = 0
POINTS_DRAWN = 2500


@dataclass(frozen=True)
class Schedule:
    """When to stop (after `steps` or `minutes`, whichever is given), and what to do on the way every so many steps."""

    steps: int | None
    minutes: float | None
    checkpoint_every: int
    sample_every: int
    evaluate_every: int | None = None
    best_by: str | None = None

    def over(self, step: int, seconds: float) -> bool:
        if self.steps is not None and step >= self.steps:
            return True
        return self.minutes is not None and seconds >= 60 * self.minutes


def train(
    state: TrainingState,
    batches: Batches,
    run: Run,
    schedule: Schedule,
    report: Report,
    stop: StopRequest,
    cuda_graph: bool | None = None,
    evaluate: Callable[[], None] | None = None,
) -> None:
    """Train until `schedule` is over or `stop` is requested; the last thing done is always a checkpoint.

    `cuda_graph` says whether steps are replayed from a CUDA graph; None is where that works. `evaluate` is called every
    `schedule.evaluate_every` steps.
    """
    history = History(run, state, Health(state, batches))
    start = time.monotonic() - state.seconds
    state.gan.train()
    if state.step == 0:
        write_samples(state, batches, run, report)
        save(state, run, history, report)
    if not over(state, schedule, stop):
        play = graph.stepper(state, batches, play_step, cuda_graph, report.note)
    while not over(state, schedule, stop):
        state.decay()
        history.add(play())
        average(state)
        state.step += 1
        state.seconds = time.monotonic() - start
        report.progress(state.step, state.seconds)
        if state.step % LOG_EVERY == 0:
            history.write(report)
            distributed.check_same(state.gan.state_dict(), state.step)
        if state.step % schedule.sample_every == 0:
            write_samples(state, batches, run, report)
        if evaluate and schedule.evaluate_every and state.step % schedule.evaluate_every == 0:
            evaluate()
        if state.step % schedule.checkpoint_every == 0:
            save(state, run, history, report)
    write_samples(state, batches, run, report)
    save(state, run, history, report)


def over(state: TrainingState, schedule: Schedule, stop: StopRequest) -> bool:
    """Whether training ends here. Ranks, whose clocks and signals differ, agree about these every AGREE_EVERY steps."""
    if schedule.steps is not None and state.step >= schedule.steps:
        return True
    wish = stop.signal or int(schedule.over(state.step, state.seconds))
    if distributed.size() == 1:
        return wish > 0
    if state.step % AGREE_EVERY:
        return False
    wish = distributed.all_reduce_max(wish)
    if wish > 1:  # else leave it: a signal may just have come in
        stop.signal = wish
    return wish > 0


def train_step(state: TrainingState, batches: Batches) -> dict[str, Tensor]:
    """One generator step after its discriminator steps. Returns signals that stay on the device."""
    state.decay()
    signals = graph.play_once(state, batches, play_step)
    average(state)
    return signals


def play_step(state: TrainingState, draw: graph.Draw) -> dict[str, Tensor]:
    """All of a step but the moving average; `draw(k)` gives the real images of discriminator step k.

    It does the same on the device in every step, so that it can be captured in a CUDA graph.
    """
    gan, config = state.gan, state.gan.config

    for k in range(config.discriminator_steps):
        state.train_discriminator(True)
        parts, signals = deal(state, *draw(k)), []
        last = k == config.discriminator_steps - 1  # the generator then learns from the fakes of the last step,
        kept = last and len(parts) == 1  # or makes them again: kept, those of many parts take the memory parts save
        for part in parts:
            with state.autocast(), torch.set_grad_enabled(kept):
                fake = gan.generate(part.z, part.condition)
            losses = gan.discriminator_losses(part.real, fake.detach(), part.condition, state.rng)
            signals.append(state.backward_discriminator(losses))
        discriminator_signals = mean(signals) | state.update_discriminator()
        gan.after_discriminator_step()

    state.train_discriminator(False)
    signals = []
    for part in parts:
        with state.autocast():
            if not kept:
                fake = gan.generate(part.z, part.condition)
            loss, more = gan.generator_loss(part.real, fake, part.condition)
        signals.append(state.backward_generator(loss) | more)
    return discriminator_signals | mean(signals) | state.update_generator()


@dataclass(frozen=True)
class Part:
    """Of a batch, what goes through the networks at once."""

    real: Tensor
    condition: Tensor | None
    z: Tensor


def deal(state: TrainingState, real: Tensor, given: Tensor | None) -> list[Part]:
    """The parts of a batch, whose noise and codes are drawn for all of it and all ranks."""
    gan, n, parts = state.gan, state.gan.config.batch_size, state.gan.config.accumulate
    condition = gan.condition(given, n, state.rng)
    if given is None and condition is not None:  # it was drawn
        condition = distributed.shard(condition, parts)
    z = distributed.shard(gan.latent(n, state.rng), parts)
    conditions = [None] * parts if condition is None else condition.chunk(parts)
    return [Part(*part) for part in zip(real.chunk(parts), conditions, z.chunk(parts))]


def mean(signals: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """What is true of the batch, of whose equal parts these signals are."""
    if len(signals) == 1:
        return signals[0]
    return {name: torch.stack([part[name] for part in signals]).mean(0) for name in signals[0]}


def average(state: TrainingState) -> None:
    """Fold the generator that a step has made into the moving average."""
    images = state.gan.config.discriminator_steps * state.gan.config.batch_size
    state.ema.update(state.images_seen + images, images)


def save(state: TrainingState, run: Run, history: History, report: Report) -> None:
    """Write a checkpoint, after making sure that what it would hold is finite and the same on all ranks."""
    history.write(report)
    if state.step != state.saved_step:
        if not state.finite():
            raise diverged(run, f"after step {state.step} some weights are not finite")
        distributed.check_same(state.gan.state_dict(), state.step)
        path = state.save(run.checkpoints)
        state.saved_step = state.step
        if distributed.rank() == 0:
            checkpoint.prune(run.checkpoints, KEEP_CHECKPOINTS)
        report.checkpoint(path, state.step)


def write_samples(state: TrainingState, batches: Batches, run: Run, report: Report) -> None:
    """A picture of what the generator's average makes of noise that is the same all through the training."""
    path = run.samples / f"step-{state.step:08d}.png"
    if distributed.rank() == 0 and not path.exists():
        with state.average():
            imaging.save(sample_picture(state.gan, batches.data), path)
        report.grid(path, state.step)


def sample_picture(gan: GAN, data: Data, columns: int = 10) -> Tensor:
    """A picture uint8 [C, H, W] of what `gan` draws.

    Points over real ones; of images one row per class (at most 10) for a conditional GAN, else 8 rows; for a paired GAN
    3 times three rows, which are inputs, outputs and targets.
    """
    if not isinstance(data, ImageData):
        real = torch.from_numpy(data.points[:POINTS_DRAWN])
        return imaging.scatter(gan.sample(POINTS_DRAWN, seed=SAMPLE_SEED), gan.spec.scale, real)
    if gan.paired:
        inputs, targets = data.examples(3 * columns)
        columns = min(columns, len(inputs))
        outputs = gan.sample(len(inputs), inputs=inputs, seed=SAMPLE_SEED)
        return imaging.grid(imaging.interleave([inputs, outputs, targets], columns), columns)
    rows = min(gan.classes, 10) or 8
    labels = torch.arange(rows).repeat_interleave(columns) if gan.conditional else None
    return imaging.grid(gan.sample(rows * columns, labels, seed=SAMPLE_SEED), columns)
