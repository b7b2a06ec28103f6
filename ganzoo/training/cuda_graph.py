"""A training step captured once as a CUDA graph and then replayed: one launch instead of hundreds.

What differs from step to step is either drawn on the GPU by generators that the graph knows, or lies in memory that is
written before each replay (which images to train on). All else stays as it was captured: a plugin whose Python code
does something different in later steps must be trained with `cuda_graph=False`. Before a graph is used it must do, from
the same state, the very bits that the step does without it.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import TrainingError, UsageError, out_of_memory
from ganzoo.gan import Logs
from ganzoo.training.batches import Batches
from ganzoo.training.state import TrainingState
from ganzoo.training.state_snapshot import Snapshot, optimizers, same, scalers

WARM_UP = 3  # steps without the graph: what is made on first use is made then, and they are what replays must equal

Draw = Callable[[int], tuple[Tensor, Tensor | None]]
Play = Callable[[TrainingState, Draw], Logs]
Record = Callable[[TrainingState, Callable[[], Logs]], tuple[Logs, Callable[[], None]]]


class NotCapturedError(Exception):
    """Why a step has no graph, as a clause."""


class GraphedStep:
    """The work of one step on the device as a graph; a call replays it for the present `state.step`."""

    def __init__(self, state: TrainingState, batches: Batches, play: Play, record: Record | None = None):
        self.state, self.batches = state, batches
        count, config = state.gan.config.discriminator_steps, state.gan.config
        self.chosen = torch.empty(count, config.batch_size, dtype=torch.int64, device=state.device)
        _make_capturable(state, state.device.type == "cuda")
        before = Snapshot(state)

        def work() -> Logs:
            return play(state, lambda k: batches.take(self.chosen[k]))

        try:
            expected = self._warm_up(work)
            after = Snapshot(state)
            self.signals, self._replay = (record or record_graph)(state, work)
            before.put_back(state)
            self._choose(0)
            for step in range(WARM_UP):
                self._choose(step)
                self._replay()
            if not after.equals(Snapshot(state)) or not same(self.signals, expected):
                raise NotCapturedError("its replay did not equal the step it was captured from")
        except NotCapturedError:
            before.put_back(state, as_new=True)
            _make_capturable(state, False)
            raise
        before.put_back(state)

    def __call__(self) -> Logs:
        """One step. The signals are overwritten by the next call."""
        self._choose(0)
        self._replay()
        return self.signals

    def _warm_up(self, work: Callable[[], Logs]) -> Logs:
        signals: Logs = {}
        with _side_stream(self.state.device), warnings.catch_warnings():
            # of an optimizer that is capturable and not captured: it is about to be
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            for step in range(WARM_UP):
                self._choose(step)
                with _no_waiting(self.state.device, step == WARM_UP - 1):
                    signals = work()
        return {name: value.clone() for name, value in signals.items()}

    def _choose(self, ahead: int) -> None:
        """Write down which images the step `ahead` of the present one trains on."""
        first = (self.state.step + ahead) * len(self.chosen)
        for k, row in enumerate(self.chosen):
            row.copy_(self.batches.chosen(first + k))


def stepper(
    state: TrainingState, batches: Batches, play: Play, wanted: bool | None, note: Callable[[str], None]
) -> Callable[[], Logs]:
    """The work of one step on the device as a function: a graph where that is possible and not unwanted.

    `wanted` None is "where it works", with a `note` where it was tried in vain; True raises UsageError or TrainingError
    where there can be none.
    """
    without = partial(play_once, state, batches, play)
    unfit = _unfit(state, batches)
    if wanted and unfit:
        raise UsageError(f"There can be no CUDA graph of this training: {unfit}. Leave out --cuda-graph.")
    if unfit or wanted is False:
        _make_capturable(state, False)  # as a run that was resumed may have left it
        return without
    try:
        return GraphedStep(state, batches, play)
    except NotCapturedError as why:
        if wanted:
            raise TrainingError(f"The training step has no CUDA graph: {why}. Leave out --cuda-graph.") from why
        note(f"No CUDA graph, steps are slower: {why}.")
        return without


def play_once(state: TrainingState, batches: Batches, play: Play) -> Logs:
    """The present step without a graph."""
    first = state.step * state.gan.config.discriminator_steps
    return play(state, lambda k: batches(first + k))


def record_graph(state: TrainingState, work: Callable[[], Logs]) -> tuple[Logs, Callable[[], None]]:
    """Capture `work` without running it; returns the tensors it will write its signals to, and what runs it."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(state.rng)
    stream = torch.cuda.Stream(state.device)
    stream.wait_stream(torch.cuda.current_stream(state.device))
    try:
        with torch.cuda.graph(graph, stream=stream):
            signals = work()
    except RuntimeError as failure:  # and torch's generators may still be in the middle of it
        if out_of_memory(failure):
            raise
        why = str(failure).splitlines()[0]
        raise TrainingError(f"The step cannot be captured in a CUDA graph: {why}. Use --no-cuda-graph.") from failure
    return signals, graph.replay


def _unfit(state: TrainingState, batches: Batches) -> str | None:
    if state.device.type != "cuda":
        return f"it is for NVIDIA GPUs, and this trains on {state.device.type}"
    if distributed.size() > 1:
        return "ranks meet within a step"
    if batches.home != state.device:
        return "the data set does not fit into the GPU's memory"
    if batches.data.corrupt is not None:
        return "its input images are made anew for every batch"
    if state.gan.config.lr_half_life or state.gan.config.penalty_half_life:
        return "its learning rates or penalty weight fall, and a graph keeps those it was captured with"
    for optimizer, scaler in zip(optimizers(state), scalers(state)):
        if "capturable" not in optimizer.defaults:
            return f"{type(optimizer).__name__} cannot be captured"
        if scaler.is_enabled() and not getattr(optimizer, "_step_supports_amp_scaling", False):
            return f"{type(optimizer).__name__} in fp16 makes the CPU wait for the GPU"
    return None


def _make_capturable(state: TrainingState, on: bool) -> None:
    """Optimizers then count their steps on the device."""
    for optimizer in optimizers(state):
        for group in optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = on
        for parameter, values in optimizer.state.items():
            if on and isinstance(values.get("step"), Tensor):
                values["step"] = values["step"].to(parameter.device)


@contextlib.contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """A stream of its own, as captures need of the steps before them."""
    if device.type != "cuda":
        yield
        return
    stream, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        yield
    current.wait_stream(stream)


@contextlib.contextmanager
def _no_waiting(device: torch.device, checked: bool) -> Iterator[None]:
    """Refuses, where `checked`, what makes the CPU wait for the GPU: it cannot be captured."""
    if device.type != "cuda" or not checked:
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as failure:
        if "synchroniz" not in str(failure):
            raise
        raise NotCapturedError("it makes the CPU wait for the GPU, as .item() does") from failure
    finally:
        torch.cuda.set_sync_debug_mode(before)
