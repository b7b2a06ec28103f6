"""A training session, from the options to the trained run."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from ganzoo import data, gan, nn
from ganzoo.augmentations import get_augmentation
from ganzoo.core import config as configs
from ganzoo.core import distributed, plugin_file, registry
from ganzoo.core.errors import DataError, UsageError
from ganzoo.losses import get_loss, get_penalty
from ganzoo.training import checkpoint, data_needs, loop, resuming, warm_start
from ganzoo.training.batch_advice import explain_batch_failures, note_on_accumulation
from ganzoo.training.batches import Batches
from ganzoo.training.callbacks import Callback, Callbacks, FailureAlarms, MetricsLog, TensorBoard, Upload, get_logger
from ganzoo.training.config import OPTIONS, STORED, TrainConfig, find_device
from ganzoo.training.determinism import deterministic
from ganzoo.training.interrupts import StopRequest
from ganzoo.training.malloc import freed_memory_kept
from ganzoo.training.precision import note_on_bfloat16
from ganzoo.training.provenance import provenance
from ganzoo.training.run import Run
from ganzoo.training.run_config import (
    architecture_name,
    architecture_of,
    moved_hint,
    plugins_of,
    resumed_options,
    spec_to_config,
    to_run_config,
)
from ganzoo.training.state import TrainingState

_TRAINING = threading.RLock()
"""Held while training: torch's random state and settings belong to the process."""


class Session:
    """Training that is ready to start: its constructor looks up names, checks settings and opens the data.

    Nothing is written before `train`. Raises UsageError, PluginError or DataError with one clear message.

    Attributes:
        config: the options, with device, length and paths resolved.
        entry: the architecture.
        settings: the architecture's settings.
        data: the data, without labels or inputs that the architecture does not use.
        origin: the checkpoint that training begins with, if it is another training's.
        run, state, batches, callbacks: set by `train`.
    """

    origin: warm_start.Origin | None = None
    warm_start: dict[str, Any] | None = None
    """What was taken from `origin` and what is frozen, as config.json holds it. Set by `build`."""

    run: Run
    state: TrainingState
    batches: Batches
    callbacks: Callbacks

    def __init__(
        self,
        config: TrainConfig,
        settings: Mapping[str, Any],
        out: str | os.PathLike[str] | None = None,
        entry: registry.Entry | None = None,
        resumed: Run | None = None,
    ):
        if config.architecture is None:
            raise UsageError("Training needs an architecture; see ganzoo list and ganzoo datasets.")
        self.entry = entry or registry.find_architecture(config.architecture)
        if config.dataset is None:
            raise UsageError("Training needs --dataset; see ganzoo list and ganzoo datasets.")
        self.out = out
        self.resumed = resumed
        self._given = frozenset(settings)
        kind = data_needs.kind_of(config.dataset, self.entry)
        self.settings = configs.make(self.entry.card.Config, settings, kind)
        get_loss(self.settings.loss), get_penalty(self.settings.penalty)  # imports them: a broken one is refused here
        get_augmentation(self.settings.augmentation)
        self.loggers = [get_logger(name) for name in config.logger if name != "tensorboard"]  # that one is always there
        device = str(find_device(config.device))
        if config.precision == "tf32" and not device.startswith("cuda") and entry is None:  # a run may have to move
            raise UsageError(f"precision=tf32 is for NVIDIA GPUs, and this trains on {device}. Choose fp32 or bf16.")
        distributed.check(self.settings.batch_size, self.settings.accumulate, self.settings.pack, device)
        size = self.settings.image_size if resumed is None else resumed.image_size
        opened = data.open(config.dataset, image_size=size, data_dir=config.data_dir)
        self.data = data_needs.used(opened, self.entry)
        self.config = dataclasses.replace(
            config,
            architecture=self.entry.name,
            dataset=data.absolute_name(config.dataset),
            data_dir=None if config.data_dir is None else os.path.abspath(os.path.expanduser(config.data_dir)),
            init_from=warm_start.resolved(config.init_from, resumed.config.get("init_from") if resumed else None),
            steps=_steps(config, self.settings, len(opened)),
            epochs=None,
            device=device,
        )
        if self.config.init_from is not None and resumed is None:
            self.origin = warm_start.Origin.open(self.config.init_from)

    @classmethod
    def new(
        cls,
        options: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        out: str | os.PathLike[str] | None = None,
    ) -> Session:
        """A session for a new run with these options of `TrainConfig` and settings of the architecture."""
        return cls(configs.make(TrainConfig, options), settings or {}, out)

    @classmethod
    def resume(
        cls, path: str | os.PathLike[str], options: Mapping[str, Any], settings: Mapping[str, Any] | None = None
    ) -> Session:
        """A session that continues the run at `path`; only `resumable` options may differ from the run's."""
        run = Run.open(path)
        if run.model is not None:
            raise UsageError(
                f"{run.model} is a model: its weights can be used, but it lacks the state that training needs to go on."
            )
        requested = options.get("architecture")
        if requested is not None and plugin_file.names_file(requested):
            same = registry.find_architecture(requested).target == architecture_name(run.config)
            options = {**options, "architecture": run.config["architecture"] if same else requested}
        entry = architecture_of(run.config)  # report a missing package before anything else
        config = configs.make(TrainConfig, resumed_options(run.config, options))
        try:
            return cls(config, {**run.config["settings"], **(settings or {})}, entry=entry, resumed=run)
        except DataError as failure:
            raise type(failure)(f"{failure}{moved_hint(run.config)}") from failure

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that must stay the same on resume, in the form of config.json."""
        fixed = {name: getattr(self.config, name) for name in STORED if not OPTIONS[name].resumable}
        fixed["device"] = self.config.device  # may change, but then the resume is not exact
        return {
            "architecture": self.entry.name,
            "distribution": self.entry.distribution,
            "dataset": {
                "name": self.config.dataset,
                "split": self.data.split,
                "sha256": self.data.sha256,
                "images": len(self.data),
                "class_names": list(self.data.class_names),
                **spec_to_config(self.data.spec),
            },
            "settings": configs.to_dict(self.settings),
            **(
                {"file": plugin_file.record_of(self.entry)}
                if self.entry.distribution == plugin_file.DISTRIBUTION
                else {}
            ),
            **fixed,
        }

    @property
    def run_config(self) -> dict[str, Any]:
        """The identity and all options, in the form of config.json."""
        return self.identity | to_run_config(self.config)

    def build(self) -> gan.GAN:
        """The GAN on the device, initialised from the seed, then from `origin`.

        Its batch norms are synchronised if there are ranks.
        """
        torch.manual_seed(self.config.seed)
        networks = gan.build(self.entry, self.settings, self.data.spec)
        networks.class_names = self.data.class_names
        frozen = warm_start.freeze(networks, self.config.freeze)
        if self.origin is not None:
            self.warm_start = {**self.origin.give(networks, self.entry.name), "frozen": frozen}
        if distributed.size() > 1:
            nn.synchronise(networks)
        return gan.channels_last(networks, self.config.device)

    def make_batches(self) -> Batches:
        """The data in batches, on the device."""
        device = torch.device(self.config.device)
        return Batches(self.data, self.settings.batch_size, self.config.seed, device, self.settings.accumulate)

    def train(self, callbacks: Iterable[Callback] = ()) -> Run:
        """Train until the schedule is complete and return the run.

        SIGINT writes a checkpoint before KeyboardInterrupt is raised, SIGTERM and SIGHUP before SystemExit. UsageError
        if another thread of this process is training: they would share random states and the number of threads.
        """
        if not _TRAINING.acquire(blocking=False):
            raise UsageError("Another thread of this process is training. Start one process for each training.")
        try:
            return self._train(callbacks)
        finally:
            _TRAINING.release()

    def _train(self, callbacks: Iterable[Callback]) -> Run:
        loggers = [logger() for logger in self.loggers]  # one that lacks its library is refused before a run exists
        with contextlib.ExitStack() as stack:
            notes = self._start(stack) if self.resumed is None else self._restore(self.resumed, stack)
            built_in = [MetricsLog(), *callbacks, *loggers, TensorBoard(), FailureAlarms()]
            if self.run.remote is not None:
                built_in.append(Upload())  # the last, as it waits at the end
            rank = distributed.rank()
            self.callbacks = Callbacks(member for member in built_in if rank == 0 or member.every_rank)
            with StopRequest() as stop:
                try:
                    self.callbacks.on_start(self)
                    notes += note_on_accumulation(self.state.gan) + note_on_bfloat16(self.state)
                    for note in notes:
                        self.callbacks.on_note(note)
                    loop.train(self.state, self.batches, self.run, self.config, self.callbacks, stop)
                finally:
                    try:
                        self.callbacks.on_end()
                    finally:
                        self.batches.close()
        if stop.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if stop.signal is not None:
            raise SystemExit(128 + stop.signal)
        return self.run

    def _start(self, stack: contextlib.ExitStack) -> list[str]:
        """Build the networks, then create the run directory and lock it. Returns notes for the user."""
        self._prepare_process(stack)
        self.state = self._new_state()
        self.batches = self.make_batches()
        name = f"{self.entry.name}-{str(self.config.dataset).partition(':')[0]}"
        content = {**self.run_config, **provenance(self.entry, plugins_of(self.settings))}
        if self.warm_start is not None:
            content["warm_start"] = self.warm_start
        self.run = distributed.on_rank0(lambda: Run.create(self.out, name, content))
        stack.enter_context(_locked(self.run))
        warm = [warm_start.describe(self.warm_start)] if self.warm_start else []
        return [*self.data.notes, *warm, *self._fitting_recipes()]

    def _fitting_recipes(self) -> list[str]:
        """A note for every recipe that was measured for data like these and of which nothing was chosen."""
        return [
            f"There is a recipe for data like these: --recipe {name} ({recipe.summary})."
            for name, recipe in self.entry.card.recipes.items()
            if recipe.fits(self.data.spec.shape, len(self.data)) and not self._given & set(recipe.settings)
        ]

    def _new_state(self) -> TrainingState:
        state = TrainingState(self.build(), self.config.seed, self.config.precision, self.identity)
        if self.origin is not None:
            self.origin.give_averages(state.averages)
        return state

    def _restore(self, resumed: Run, stack: contextlib.ExitStack) -> list[str]:
        """Lock the run and restore its newest intact checkpoint, or start from step 0 without one. Returns notes."""
        stack.enter_context(_locked(resumed))
        self.run = run = resumed.reopened()  # another process may have trained it until now
        path, problems = distributed.on_rank0(lambda: resuming.newest_checkpoint(run))
        if run.remote is not None and path is not None and distributed.rank() > 0:  # maybe on another machine
            run.remote.fetch_checkpoints()
            path = run.checkpoints / path.name
        saved = run.config if path is None else checkpoint.read_state(path)
        resuming.check_unchanged(self.entry, self.identity, saved, path)
        ranks = len(saved.get("torch_rng", ())) if path else saved.get("ranks")
        self._prepare_process(stack, saved.get("threads") if ranks == distributed.size() else None)
        if path is None:
            self.origin = resuming.recorded_origin(run)
        self.state = self._new_state()
        if path is not None:
            self.state.restore(path, saved)
        self.batches = self.make_batches()
        now = provenance(self.entry, plugins_of(self.settings))
        notes = [*self.data.notes, *(f"{problem}; the previous checkpoint is used instead." for problem in problems)]
        notes += resuming.notes(run, self.identity, saved, path, now)
        if self.config.finished(self.state.step, self.state.seconds):
            notes.append(
                f"Nothing is left to train: this run is at step {self.state.step:,}. Give more --steps or --minutes."
            )
        run.config |= to_run_config(self.config)
        run.config["dataset"] = {**run.config["dataset"], "name": self.config.dataset}
        run.config["resumes"] = [*run.config.get("resumes", []), {"step": self.state.step, **now}]
        if distributed.rank() == 0:
            run.forget_after(self.state.step if path else -1)
            run.write_config()
        return notes

    def _prepare_process(self, stack: contextlib.ExitStack, threads: int | None = None) -> None:
        stack.enter_context(explain_batch_failures(self.config, self.settings))
        stack.enter_context(deterministic(self.config.device, self.config.precision, threads))
        if self.config.device == "cpu":
            stack.enter_context(freed_memory_kept())


def _steps(config: TrainConfig, settings: Any, examples: int) -> int | None:
    """The length of the training in generator steps; None if it is given in minutes."""
    if config.epochs is not None:
        batches = examples // settings.batch_size * config.epochs
        return int(max(1, math.ceil(batches / settings.discriminator_steps)))
    if config.steps is None and config.minutes is None:
        return int(settings.steps)
    return config.steps


@contextlib.contextmanager
def _locked(run: Run) -> Iterator[None]:
    """Lock the run on rank 0; if that fails, every rank raises the same error."""
    with contextlib.ExitStack() as lock:
        distributed.on_rank0(lambda: lock.enter_context(run.locked()))
        yield
