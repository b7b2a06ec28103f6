"""The training loop: the whole of it, top to bottom."""

from __future__ import annotations

import time

from ganzoo.core import distributed
from ganzoo.core.errors import PluginError
from ganzoo.gan import Logs
from ganzoo.training import cuda_graph
from ganzoo.training.batches import Batches
from ganzoo.training.callbacks import Callback
from ganzoo.training.checkpoint_writer import CheckpointWriter
from ganzoo.training.config import TrainConfig
from ganzoo.training.diagnostics import Diagnostics
from ganzoo.training.interrupts import SAVE, StopRequest
from ganzoo.training.metrics import MetricsAccumulator, NotFiniteError, explain_divergence
from ganzoo.training.run import Run
from ganzoo.training.samples import write_samples
from ganzoo.training.state import TrainingState
from ganzoo.training.step import GetBatch, TrainingStep
from ganzoo.training.verification import compute_twice

AGREE_EVERY = 10


def train(
    state: TrainingState,
    batches: Batches,
    run: Run,
    config: TrainConfig,
    callbacks: Callback,
    stop: StopRequest,
) -> None:
    """Train until the schedule is complete or `stop` is requested; the last thing done is always a checkpoint."""
    metrics = MetricsAccumulator(run, state, Diagnostics(state, batches))
    start = time.monotonic() - state.seconds
    state.gan.train()
    with explain_divergence(run), CheckpointWriter(run, callbacks) as writer:
        if state.step == 0:
            write_samples(state, batches, run, callbacks)
            save_checkpoint(state, metrics, callbacks, writer)
        if not should_stop(state, config, stop):
            step = cuda_graph.stepper(state, batches, compute_step, config.cuda_graph, callbacks.on_note)
        first = state.step
        while not should_stop(state, config, stop):
            state.apply_schedules()
            verify = config.verify_every is not None and (state.step + 1) % config.verify_every == 0
            metrics.add(compute_twice(state, run, step) if verify else step())
            update_ema(state)
            if state.step == first:
                for setting in state.gan.regularisers.without_effect():
                    callbacks.on_note(f"{setting} has no effect: this architecture's training step does not use it.")
            state.step += 1
            state.seconds = time.monotonic() - start
            if state.step % config.log_every == 0:
                log_metrics(metrics, callbacks)
                distributed.check_same(state.gan.state_dict(), state.step, state.gan.state())
            if state.step % config.sample_every == 0:
                write_samples(state, batches, run, callbacks)
            callbacks.on_step(state.step, state.seconds)
            writer.poll()
            if state.step % config.checkpoint_every == 0:
                save_checkpoint(state, metrics, callbacks, writer)
            if save_requested(state, stop):
                save_checkpoint(state, metrics, callbacks, writer)
                writer.wait()
                callbacks.on_note(f"{SAVE} asked for a checkpoint: that of step {state.step:,} is saved.")
        write_samples(state, batches, run, callbacks)
        save_checkpoint(state, metrics, callbacks, writer)


def should_stop(state: TrainingState, config: TrainConfig, stop: StopRequest) -> bool:
    """Whether training ends here. Ranks, whose clocks and signals differ, agree on it every AGREE_EVERY steps."""
    if config.steps is not None and state.step >= config.steps:
        return True
    request = 1 + stop.signal if stop.signal else int(config.finished(state.step, state.seconds))
    if distributed.size() == 1:
        return request > 0
    if state.step % AGREE_EVERY:
        return False
    request = distributed.all_reduce_max(request)
    if request > 1:  # otherwise leave it alone: a signal may have arrived in the meantime
        stop.signal = request - 1
    return request > 0


def save_requested(state: TrainingState, stop: StopRequest) -> bool:
    """Whether a signal has asked for a checkpoint. Ranks agree on it as in `should_stop`."""
    if state.step % AGREE_EVERY and distributed.size() > 1:
        return False
    requested = distributed.all_reduce_max(int(stop.save)) > 0
    if requested:
        stop.save = False
    return requested


def train_step(state: TrainingState, batches: Batches) -> Logs:
    """One generator step after its discriminator steps. Returns logs that stay on the device."""
    state.apply_schedules()
    logs = cuda_graph.eager_step(state, batches, compute_step)
    update_ema(state)
    return logs


def compute_step(state: TrainingState, get_batch: GetBatch) -> Logs:
    """All of a step but the moving average; `get_batch(k)` gives the real examples of discriminator step k."""
    gan = state.gan
    gan.step_context = TrainingStep(state, get_batch)
    try:
        logs: object = gan.training_step(gan.step_context)
        if not isinstance(logs, dict):
            raise PluginError(f"training_step() returns {type(logs).__name__}: end it with `return step.logs`.")
        return logs
    finally:
        del gan.step_context


def update_ema(state: TrainingState) -> None:
    """Fold the networks that a step has trained into their moving averages."""
    images = state.gan.config.discriminator_steps * state.gan.config.batch_size
    for average in state.averages.values():
        average.update(state.images_seen + images, images)


def log_metrics(metrics: MetricsAccumulator, callbacks: Callback) -> None:
    """Pass the metrics since the last call to the callbacks."""
    row = metrics.row()
    if row is not None:
        callbacks.on_metrics(row)


def save_checkpoint(
    state: TrainingState, metrics: MetricsAccumulator, callbacks: Callback, writer: CheckpointWriter
) -> None:
    """Begin to write a checkpoint, after checking that its weights are finite and the same on all ranks."""
    log_metrics(metrics, callbacks)
    if state.step != state.saved_step:
        if not state.weights_are_finite():
            raise NotFiniteError(f"after step {state.step} some weights are not finite")
        distributed.check_same(state.gan.state_dict(), state.step, state.gan.state())
        writer.save(state)
        state.saved_step = state.step
