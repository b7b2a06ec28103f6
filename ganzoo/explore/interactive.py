"""A GAN in training, in memory: the steps of the real trainer, one at a time, with settings that may change."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ganzoo.core import config as configs
from ganzoo.core.errors import UsageError
from ganzoo.data import PointData
from ganzoo.data.images import sha256_of
from ganzoo.data.points import Mixture
from ganzoo.explore.plane import Plane, encode
from ganzoo.gan import Logs, StepContext
from ganzoo.losses import get_loss, get_penalty
from ganzoo.training import cuda_graph, loop
from ganzoo.training.batches import Batches
from ganzoo.training.diagnostics import Diagnostics
from ganzoo.training.failure_detection import Alarm, FailureDetector
from ganzoo.training.metrics import MetricsAccumulator
from ganzoo.training.run import Run
from ganzoo.training.samples import sample_picture
from ganzoo.training.session import Session
from ganzoo.training.state import TrainingState
from ganzoo.training.step import GetBatch, TrainingStep

PLAYERS = ("both", "discriminator", "generator")
CHANGEABLE = ("generator_lr", "discriminator_lr", "loss", "penalty", "penalty_weight", "discriminator_steps")
"""The settings that may change while training runs."""
PENALTIES = ("none", "gradient", "clip", "r1")
"""Penalties to try, in this order, if a new loss contradicts the present one."""
ROW_EVERY = 25
"""Steps between rows of metrics, at first."""
MAX_ROWS = 2000
"""Rows that are kept: when there are more, every other one goes, and from then on they come half as often."""
DRAWN_POINTS = 20_000
STROKE = 0.02
"""Standard deviation of the points around a drawn line, as a share of the data's scale."""
COLUMNS = 5
"""Of the grid of samples."""


class InteractiveTraining:
    """The networks, optimizers and data of `session` at step 0."""

    def __init__(self, session: Session):
        self.session = session
        self.state = TrainingState(session.build(), session.config.seed, session.config.precision)
        self.state.gan.train()
        self.rows: list[dict[str, Any]] = []
        self.row_every = ROW_EVERY
        self.alarms: list[Alarm] = []
        self.edited = False
        """Whether something was changed by hand, so that no command repeats this training."""
        self.use(session.data)
        self._watch_settings()

    def use(self, data: Any) -> None:
        """Train on `data` from now on; the networks stay."""
        session, gan = self.session, self.state.gan
        self.data = data
        device = torch.device(session.config.device)
        self.batches = Batches(data, gan.config.batch_size, session.config.seed, device, gan.config.accumulate)
        self.batches.spec = gan.spec  # the scale that the networks were built for
        self.metrics = MetricsAccumulator(Run(Path(), {}), self.state, Diagnostics(self.state, self.batches))
        self.plane = Plane.of(gan, data) if isinstance(data, PointData) else None

    def step(self, players: str = "both") -> None:
        """One training step, in which only these players learn."""
        state = self.state
        state.apply_schedules()
        self.metrics.add(cuda_graph.eager_step(state, self.batches, _compute(players)))
        if players != "discriminator":
            loop.update_ema(state)
        state.step += 1
        if state.step % self.row_every == 0:
            self.log()

    def log(self) -> None:
        """Add a row of metrics of the steps since the last one. Raises TrainingError if a value is not finite."""
        row = self.metrics.row()
        if row is not None:
            self.rows.append(row)
            alarm = self.detector.update(row)
            self.alarms += [] if alarm is None else [alarm]
        if len(self.rows) > MAX_ROWS:
            self.rows = self.rows[1::2]
            self.row_every *= 2

    def changed(self, config: Any, changes: Mapping[str, Any]) -> tuple[Any, str]:
        """`config` with `changes`, and a note if another setting had to change with them. Raises UsageError."""
        settings = {**configs.to_dict(config), **changes}
        try:
            config, note = self._checked(settings), ""
        except UsageError:
            if "loss" not in changes or "penalty" in changes:
                raise
            config, note = self._with_possible_penalty(settings)
        return config, note

    def change(self, config: Any) -> None:
        """Train with these settings from now on."""
        state = self.state
        state.gan.config = config
        state.gan.penalty_weight = config.penalty_weight
        for player, lr in (("generator", config.generator_lr), ("discriminator", config.discriminator_lr)):
            for group in state.players[player].optimizer.param_groups:
                group["lr"] = group["initial_lr"] = lr
        self.edited = True
        self._watch_settings()

    def draw(self, centres: list[tuple[float, float]]) -> None:
        """Train on points around these places, which are in [-1, 1]: a mixture of Gaussians whose density is known."""
        scale = self.state.gan.spec.scale
        mixture = Mixture(np.asarray(centres, np.float64) * scale, STROKE * scale)
        points = mixture.sample(DRAWN_POINTS, self.session.config.seed)[0]
        self.use(PointData(points, None, (), "drawn by hand", "train", sha256_of(points, None), mixture))
        self.edited = True

    def samples(self) -> dict[str, Any]:
        """A picture of samples from the same noise, by the moving average: a narrower sample grid."""
        with self.state.average():
            picture = sample_picture(self.state.gan, self.data, COLUMNS)
        return {"pixels": encode(picture.permute(1, 2, 0)), "shape": list(picture.shape)}

    @property
    def command(self) -> str:
        """The command that trains like this from the beginning, with the settings as they are now."""
        gan, session = self.state.gan, self.session
        defaults = configs.to_dict(configs.make(session.entry.card.Config, {}, gan.spec.kind))
        now = configs.to_dict(gan.config)
        words = ["ganzoo", "train", session.entry.name, "--dataset", str(session.config.dataset)]
        for name in now:
            words += ["--set", f"{name}={configs.format_value(now[name])}"] if now[name] != defaults[name] else []
        return shlex.join([*words, "--seed", str(session.config.seed)])

    def _checked(self, settings: Mapping[str, Any]) -> Any:
        gan = self.state.gan
        config = configs.make(self.session.entry.card.Config, settings, gan.spec.kind)
        if gan.batch_statistics and get_penalty(config.penalty):
            raise UsageError(f"penalty={config.penalty} cannot be used with batch norm in the discriminator.")
        return config

    def _with_possible_penalty(self, settings: Mapping[str, Any]) -> tuple[Any, str]:
        for penalty in PENALTIES:
            with contextlib.suppress(UsageError):
                config = self._checked({**settings, "penalty": penalty})
                return config, f"penalty is now {penalty}: loss={config.loss} contradicts {settings['penalty']}."
        return self._checked(settings), ""

    def _watch_settings(self) -> None:
        self.detector = FailureDetector.of(self.state.gan.config)
        self.metrics.probabilities = get_loss(self.state.gan.config.loss).probability


class OnlyUpdates:
    """A training step in which the updates of other players than `player` have no effect."""

    def __init__(self, step: TrainingStep, player: str):
        self._step = step
        self._player = player

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)

    @contextlib.contextmanager
    def update(self, *players: str) -> Iterator[Any]:
        if self._player in players:
            with self._step.update(*players) as update:
                yield update
        else:
            yield NoUpdate()


class NoUpdate:
    """An update that leaves everything as it is."""

    def backward(self, loss: Any, logs: Any = None) -> None:
        pass

    def set_gradients(self, player: str, gradients: Any) -> None:
        pass


def _compute(players: str) -> Any:
    """`loop.compute_step`, in which only these players learn."""
    if players == "both":
        return loop.compute_step

    def compute(state: TrainingState, get_batch: GetBatch) -> Logs:
        gan = state.gan
        gan.step_context = TrainingStep(state, get_batch)
        try:
            return gan.training_step(cast(StepContext, OnlyUpdates(gan.step_context, players)))
        finally:
            del gan.step_context

    return compute


def drawn(value: Any, most: int = 5000) -> list[tuple[float, float]]:
    """Places that were drawn by hand. UsageError unless they are a list of pairs in [-1, 1], not all at the origin."""
    good = isinstance(value, list) and 0 < len(value) <= most and all(map(_is_place, value))
    if not good or not any(abs(x) + abs(y) > 1e-3 for x, y in value):
        raise UsageError(f"Draw a line or a few dots first: at most {most:,} places within the frame.")
    return [(float(x), float(y)) for x, y in value]


def _is_place(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) <= 1.25 for x in value)
    )
