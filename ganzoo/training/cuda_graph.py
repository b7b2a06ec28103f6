"""A training step captured once as a CUDA graph and then replayed: one launch instead of hundreds.

What changes from step to step is either drawn on the GPU by generators that are registered with the graph, or lies in
memory that is written before each replay (which images to train on). Everything else stays as it was captured. Where
the Python code of a GAN does something else in some steps, its `phase` says so, and every phase gets a graph of its
own. Before a graph is used, its replays must give the same bits as the next steps of its phase without it, from the
same state.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Hashable, Iterator
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import TrainingError, UsageError, out_of_memory
from ganzoo.gan import Logs
from ganzoo.ops.backend import recorded_in_a_graph
from ganzoo.training.batches import Batches
from ganzoo.training.state import TrainingState
from ganzoo.training.state_snapshot import Snapshot, same
from ganzoo.training.step import GetBatch

WARM_UP = 3  # steps without the graph: they allocate what is allocated on first use, and replays must equal them
LOOK_AHEAD = 1000
"""Steps in which to look for further steps of a phase; a phase that is rarer is compared at one step."""
MAX_GRAPHS = 8
"""Phases that have a graph at a time; each graph has its own memory."""
MIN_REPLAYS = 20
"""Steps that a graph must have replayed before it is given up: capturing one costs about as many steps."""

StepFn = Callable[[TrainingState, GetBatch], Logs]
Record = Callable[[TrainingState, Callable[[], Logs]], tuple[Logs, Callable[[], None]]]


class NotCapturedError(Exception):
    """A step cannot be captured; the message is a clause."""


class GraphedStep:
    """A step of one phase as a CUDA graph; a call replays it for the current `state.step`."""

    def __init__(self, state: TrainingState, batches: Batches, compute: StepFn, record: Record | None = None):
        self.state, self.batches = state, batches
        count, config = state.gan.config.discriminator_steps, state.gan.config
        self.replays = 0
        self.chosen = torch.empty(count, config.batch_size, dtype=torch.int64, device=state.device)
        _make_capturable(state, state.device.type == "cuda")
        now, steps = state.step, _steps_of_phase(state)
        before = Snapshot(state)

        def work() -> Logs:
            return compute(state, lambda k: batches.take(self.chosen[k]))

        try:
            with recorded_in_a_graph():
                expected = self._warm_up(work, steps)
                if state.step_was_read and state.gan.phase(now) is None:
                    raise NotCapturedError("it depends on the number of the step; GAN.phase can say how")
                after = Snapshot(state)
                state.step = now
                self.logs, self._replay = (record or record_graph)(state, work)
            before.restore(state)
            for state.step in steps:
                self._choose()
                self._replay()
            if not after.equals(Snapshot(state)) or not same(self.logs, expected):
                raise NotCapturedError("its replay did not equal the step it was captured from")
        except NotCapturedError:
            before.restore(state, fresh=True)
            raise
        finally:
            state.step = now
        before.restore(state)

    def __call__(self) -> Logs:
        """One step. The next call overwrites the returned logs."""
        self._choose()
        self._replay()
        self.replays += 1
        return self.logs

    def _warm_up(self, work: Callable[[], Logs], steps: list[int]) -> Logs:
        logs: Logs = {}
        with _side_stream(self.state.device), warnings.catch_warnings():
            # the optimizer is already set to capturable, but not captured yet
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            for n, self.state.step in enumerate(steps):
                self._choose()
                with _forbid_synchronization(self.state.device, n == len(steps) - 1):
                    logs = work()
        return {name: value.clone() for name, value in logs.items()}

    def _choose(self) -> None:
        """Write the numbers of the images that the current step trains on."""
        first = self.state.step * len(self.chosen)
        for k, row in enumerate(self.chosen):
            row.copy_(self.batches.chosen(first + k))


class GraphedPhases:
    """The current step, from the graph of its phase, which is captured when the phase first occurs.

    Of more than MAX_GRAPHS phases, the graph of the one that has not occurred for longest is given up. If a later phase
    cannot be captured, if that graph has replayed only a few steps, or if a phase returns whose graph was given up, all
    steps run without a graph from then on, or with `wanted` training ends.
    """

    def __init__(
        self, state: TrainingState, batches: Batches, compute: StepFn, wanted: bool, note: Callable[[str], None]
    ):
        self.state, self.batches, self.compute = state, batches, compute
        self.wanted, self.note = wanted, note
        self.graphs: dict[Hashable, GraphedStep] = {}  # the one that was used last at the end
        self.given_up: set[Hashable] = set()
        self.failed = False
        self._graph()

    def __call__(self) -> Logs:
        """One step. The next call overwrites the returned logs."""
        step = self._graph()
        return step() if step is not None else eager_step(self.state, self.batches, self.compute)

    def _graph(self) -> GraphedStep | None:
        phase = self.state.gan.phase(self.state.step)
        if phase not in self.graphs and not self.failed:
            try:
                if phase in self.given_up:
                    raise NotCapturedError(f"more than {MAX_GRAPHS} phases take turns")
                if len(self.graphs) == MAX_GRAPHS:
                    self._give_up_oldest()
                self.graphs[phase] = GraphedStep(self.state, self.batches, self.compute)
            except NotCapturedError as why:
                self.failed = True
                self.graphs.clear()
                _make_capturable(self.state, False)
                if self.wanted:
                    raise TrainingError(f"The training step has no CUDA graph: {why}. Leave out --cuda-graph.") from why
                self.note(f"Steps run without a CUDA graph, which is slower: {why}.")
        if phase in self.graphs:
            self.graphs[phase] = self.graphs.pop(phase)
        return self.graphs.get(phase)

    def _give_up_oldest(self) -> None:
        oldest = next(iter(self.graphs))
        if self.graphs[oldest].replays < MIN_REPLAYS:
            raise NotCapturedError(f"it has more than {MAX_GRAPHS} phases, and some are over after a few steps")
        del self.graphs[oldest]
        self.given_up.add(oldest)


def _steps_of_phase(state: TrainingState) -> list[int]:
    """The current step and the next ones of its phase, WARM_UP in all; the current one again if the phase is rare."""
    now, phase = state.step, state.gan.phase(state.step)
    later = (step for step in range(now + 1, now + LOOK_AHEAD) if state.gan.phase(step) == phase)
    steps = [now, *islice(later, WARM_UP - 1)]
    return steps + [now] * (WARM_UP - len(steps))


def stepper(
    state: TrainingState, batches: Batches, compute: StepFn, wanted: bool | None, note: Callable[[str], None]
) -> Callable[[], Logs]:
    """A function that computes one step on the device, from a CUDA graph if possible.

    `wanted` None uses a graph where it works, with a `note` if capturing failed; True raises UsageError or
    TrainingError if there can be none; False never uses one.
    """
    reason = _unsupported_reason(state, batches)
    if wanted and reason:
        raise UsageError(f"This training cannot use a CUDA graph: {reason}. Leave out --cuda-graph.")
    if reason or wanted is False:
        _make_capturable(state, False)  # a resumed run may have been capturable
        return partial(eager_step, state, batches, compute)
    return GraphedPhases(state, batches, compute, bool(wanted), note)


def eager_step(state: TrainingState, batches: Batches, compute: StepFn) -> Logs:
    """The current step, computed without a graph."""
    first = state.step * state.gan.config.discriminator_steps
    return compute(state, lambda k: batches(first + k))


def record_graph(state: TrainingState, work: Callable[[], Logs]) -> tuple[Logs, Callable[[], None]]:
    """Capture `work` without running it. Returns the logs that replays overwrite, and the replay function."""
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(state.rng)
    stream = torch.cuda.Stream(state.device)
    stream.wait_stream(torch.cuda.current_stream(state.device))
    try:
        with torch.cuda.graph(graph, stream=stream):
            logs = work()
    except RuntimeError as failure:  # torch's generators may be left in capturing state, so there is no falling back
        if out_of_memory(failure):
            raise
        why = str(failure).splitlines()[0]
        raise TrainingError(f"The step cannot be captured in a CUDA graph: {why}. Use --no-cuda-graph.") from failure
    return logs, graph.replay


def _unsupported_reason(state: TrainingState, batches: Batches) -> str | None:
    """Why this training cannot use a CUDA graph, as a clause; None if it may."""
    if state.device.type != "cuda":
        return f"it is for NVIDIA GPUs, and this trains on {state.device.type}"
    if distributed.size() > 1:
        return "ranks communicate within a step"
    if not batches.resident:
        return "the data set is not in the GPU's memory"
    if batches.data.corrupt is not None:
        return "its input images are computed for every batch"
    if not batches.spec.aligned:
        return "its domains are not aligned, and each has an order of its own"
    config = state.gan.config
    if config.lr_half_life or config.lr_decay != "none" or config.penalty_half_life:
        return "its learning rates or penalty weight change, and a graph keeps the captured values"
    for name, player in state.players.items():
        optimizer, scaler = player.optimizer, state.scalers[name]
        if "capturable" not in optimizer.defaults:
            return f"{type(optimizer).__name__} cannot be captured"
        if scaler.is_enabled() and not getattr(optimizer, "_step_supports_amp_scaling", False):
            return f"{type(optimizer).__name__} in fp16 makes the CPU wait for the GPU"
    return None


def _make_capturable(state: TrainingState, on: bool) -> None:
    """Let optimizers count their steps on the device, as a capture requires, or on the CPU."""
    for player in state.players.values():
        for group in player.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = on
        for parameter, values in player.optimizer.state.items():
            if on and isinstance(values.get("step"), Tensor):
                values["step"] = values["step"].to(parameter.device)


@contextlib.contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """A side stream, on which the steps before a capture must run."""
    if device.type != "cuda":
        yield
        return
    stream, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        yield
    current.wait_stream(stream)


@contextlib.contextmanager
def _forbid_synchronization(device: torch.device, checked: bool) -> Iterator[None]:
    """If `checked`, refuse operations that make the CPU wait for the GPU, which cannot be captured."""
    if device.type != "cuda" or not checked:
        yield
        return
    previous_mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as failure:
        if "synchroniz" not in str(failure):
            raise
        raise NotCapturedError("it makes the CPU wait for the GPU, as .item() does") from failure
    finally:
        torch.cuda.set_sync_debug_mode(previous_mode)
