"""A training that the page owns: a thread that takes steps, and between two of them obeys the page and draws.

Nothing is written to disk, and no run of another process is touched.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from ganzoo.core import config as configs
from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.explore.interactive import CHANGEABLE, PLAYERS, InteractiveTraining, drawn
from ganzoo.training.determinism import deterministic
from ganzoo.training.metrics import NotFiniteError
from ganzoo.training.session import Session

SHARE = 0.03
"""Share of the time that pictures may take while training runs at full speed."""
OPTIMAL_SHARE = 0.02
"""The same for pictures of D*, which take far longer."""
MIN_INTERVAL, MAX_INTERVAL = 0.03, 0.5
"""Seconds between two pictures, at least and, after a slow one such as the first, at most."""
RATE_OVER = 1.0
"""Seconds over which the rate is measured."""
MAX_STEPS = 10_000
MAX_PAUSE = 2000.0


class LiveTraining:
    """The training of `session`, paused until `command` says otherwise.

    `version` grows whenever there is news in `picture`, `status` or the training's rows.
    """

    def __init__(self, session: Session):
        if session.entry.card.paired:
            raise UsageError(f"{session.entry.name} translates images: train it with ganzoo train.")
        self.session = session
        self.version = 0
        self.generation = 0
        """How often the networks or the data have been replaced."""
        self.picture: dict[str, Any] = {}
        self.optimal = False
        """Whether D* is shown."""
        self.viewers = 0
        self._wake = threading.Condition()
        self._commands: deque[Mapping[str, Any]] = deque()
        self._closing = False
        with self._process():
            self._begin()
        self._first_config = self._config = self.training.state.gan.config
        self._thread = threading.Thread(target=self._run, name="explore-training", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop after the current step, and wait for it."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def command(self, command: Mapping[str, Any]) -> None:
        """Check a command of the page and have it obeyed before the next step. Raises UsageError."""
        with self._wake:
            accepted = self._checked(command)
            # what is checked next is checked against this, which a slow step may keep from being obeyed for a while
            self._config = self._first_config if accepted["do"] == "restart" else accepted.get("config", self._config)
            self._commands.append(accepted)
            self._wake.notify()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While entered, somebody looks: pictures are drawn."""
        with self._wake:
            self.viewers += 1
            self._stale = True
            self._wake.notify()
        try:
            yield
        finally:
            self.viewers -= 1

    @property
    def description(self) -> dict[str, Any]:
        """What the page needs once a generation."""
        training, session = self.training, self.session
        spec, conditional = training.state.gan.spec, training.state.gan.conditional
        options = {option.name: option for option in configs.settings(type(training.state.gan.config))}
        return {
            "architecture": session.entry.name, "dataset": training.data.name,
            "drawable": spec.kind == "points" and not conditional,
            "choices": {name: list(options[name].choices or ()) for name in ("loss", "penalty")},
            "plane": None if training.plane is None else training.plane.description,
        }  # fmt: skip

    @property
    def status(self) -> dict[str, Any]:
        """What the page shows beside the picture."""
        training = self.training
        config = training.state.gan.config
        return {
            "step": training.state.step, "playing": self.playing, "rate": round(self.rate, 1), "pause": self.pause,
            "optimal": self.optimal, "note": self.note, "edited": training.edited,
            "command": training.command, "settings": {name: getattr(config, name) for name in CHANGEABLE},
            "alarms": [vars(alarm) for alarm in training.alarms],
        }  # fmt: skip

    def _checked(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """The command with its values checked. Raises UsageError."""
        do = command.get("do")
        if do in ("play", "pause", "restart"):
            return {"do": do}
        if do == "step":
            players, count = command.get("players", "both"), command.get("count", 1)
            if players not in PLAYERS:
                raise UsageError(f"Who takes a step is one of {', '.join(PLAYERS)}.")
            if type(count) is not int or not 1 <= count <= MAX_STEPS:
                raise UsageError(f"The number of steps is a whole number from 1 to {MAX_STEPS:,}.")
            return {"do": do, "players": players, "count": count}
        if do == "slow":
            pause = command.get("pause")
            if not isinstance(pause, (int, float)) or not 0 <= pause <= MAX_PAUSE:
                raise UsageError(f"The pause after a step is from 0 to {MAX_PAUSE:.0f} ms.")
            return {"do": do, "pause": float(pause)}
        if do == "optimal":
            return {"do": do, "on": command.get("on") is True}
        if do == "draw":
            if not self.description["drawable"]:
                raise UsageError("Only training on points without labels can change to a drawn distribution.")
            return {"do": do, "points": drawn(command.get("points"))}
        if do == "set":
            changes = {name: command[name] for name in CHANGEABLE if name in command}
            config, note = self.training.changed(self._config, changes)
            return {"do": do, "config": config, "note": note}
        raise UsageError("The training does not know this command.")

    # Below, everything runs in the thread.

    def _process(self) -> contextlib.AbstractContextManager[None]:
        return deterministic(self.session.config.device, self.session.config.precision)

    def _begin(self) -> None:
        self.training = InteractiveTraining(self.session)
        self.generation += 1
        self.playing, self.note, self.picture = False, "", {}
        self.pause = self.rate = 0.0
        self.pending: deque[str] = deque()
        self._next_step = self._next_picture = self._next_optimal = 0.0
        self._stale = True
        self._recent: deque[float] = deque()

    def _run(self) -> None:
        with self._process():
            while True:
                with self._wake:
                    while not (self._closing or self._commands or self._step_due() or self._picture_due()):
                        self._wake.wait(self._patience())
                    if self._closing:
                        return
                    commands, self._commands = self._commands, deque()
                try:
                    for command in commands:
                        self._obey(command)
                    if self._step_due():
                        self._step()
                    if self._picture_due():
                        self._draw()
                except Exception as failure:  # whatever it is, the page shows it and stays up
                    self._stop(failure)

    def _step_due(self) -> bool:
        return (self.playing or bool(self.pending)) and time.monotonic() >= self._next_step

    def _picture_due(self) -> bool:
        return self._stale and self.viewers > 0 and (not self.playing or time.monotonic() >= self._next_picture)

    def _patience(self) -> float | None:
        """Seconds until something is due without a command; None if nothing will be."""
        times = [self._next_step] if self.playing or self.pending else []
        times += [self._next_picture] if self._stale and self.viewers else []
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _obey(self, command: Mapping[str, Any]) -> None:
        do = command["do"]
        self.note = ""
        if do == "play":
            self.playing = True
            self._recent.clear()
        elif do == "pause":
            self.playing = False
            self.pending.clear()
        elif do == "step":
            self.playing = False
            self.pending.extend([command["players"]] * min(command["count"], MAX_STEPS - len(self.pending)))
        elif do == "slow":
            self.pause, self._next_step = command["pause"], 0.0
        elif do == "optimal":
            self.optimal, self._next_optimal = command["on"], 0.0
            self.picture = {name: value for name, value in self.picture.items() if name not in ("optimal", "jsd")}
        elif do == "draw":
            self.training.draw(command["points"])
            self.picture = {}
            self.generation += 1
        elif do == "set":
            self.training.change(command["config"])
            self.note = command["note"]
        elif do == "restart":
            self._begin()
        self._stale = True
        self.version += 1

    def _step(self) -> None:
        players = self.pending.popleft() if self.pending else "both"
        if players != "both":
            self.training.edited = True
        self.training.step(players)
        now = time.monotonic()
        self._next_step = now + self.pause / 1000 if self.playing else now
        self._recent.append(now)
        while now - self._recent[0] > RATE_OVER:
            self._recent.popleft()
        span = now - self._recent[0]
        self.rate = (len(self._recent) - 1) / span if span > 0 else 0.0
        self._stale = True
        if not self.playing and not self.pending:
            self.training.log()

    def _draw(self) -> None:
        """Draw the present state; the next time follows from how long that took."""
        training, began = self.training, time.monotonic()
        picture = training.samples() if training.plane is None else training.plane.snapshot(training.state.gan)
        drawn_at = time.monotonic()
        self._next_picture = drawn_at + min(max(MIN_INTERVAL, (drawn_at - began) / SHARE), MAX_INTERVAL)
        if self.optimal and training.plane is not None and drawn_at >= self._next_optimal:
            picture |= training.plane.optimal(training.state.gan)
            ended = time.monotonic()
            self._next_optimal = ended + (ended - drawn_at) / OPTIMAL_SHARE
        last = self.picture if self.optimal else {}
        kept = {name: value for name, value in last.items() if name in ("optimal", "jsd")}
        self.picture = {**kept, **picture, "step": training.state.step}
        self._stale = False
        self.version += 1

    def _stop(self, failure: Exception) -> None:
        """Pause because of `failure`, which the page shows."""
        self.playing, self._stale = False, False
        self.pending.clear()
        diverged = isinstance(failure, NotFiniteError)
        self.note = f"Training diverged: {failure}." if diverged else str(failure) or type(failure).__name__
        self.version += 1
        if not isinstance(failure, GanzooError):
            logging.getLogger("ganzoo").error("The training of the page failed.", exc_info=failure)
