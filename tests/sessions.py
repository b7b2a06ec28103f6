"""Sessions and states for tests, before their first step."""

from __future__ import annotations

from typing import Any

from ganzoo.training.session import Session
from ganzoo.training.state import TrainingState


def session(
    architecture: str, dataset: str = "digits", settings: dict[str, Any] | None = None, **options: Any
) -> Session:
    """A session with these settings and options; nothing is written."""
    return Session.new({"architecture": architecture, "dataset": dataset, **options}, settings)


def new_state(session: Session) -> TrainingState:
    """The state of a session before its first step."""
    return TrainingState(session.build().train(), session.config.seed, session.config.precision)
