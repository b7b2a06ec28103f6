"""Training callbacks, one file each.

To add a logger, subclass `Callback` and pass it to `ganzoo.train`, or give it an entry point in the group
`ganzoo.loggers`: then `ganzoo train --logger NAME` uses it.
"""

from collections.abc import Iterable
from typing import Any

from ganzoo.core import registry
from ganzoo.core.entry_points import LOGGERS
from ganzoo.core.errors import PluginError, UsageError
from ganzoo.training.callbacks.callback import Callback, Callbacks, Training
from ganzoo.training.callbacks.failure_alarms import FailureAlarms
from ganzoo.training.callbacks.metrics_log import MetricsLog
from ganzoo.training.callbacks.tensorboard import TensorBoard
from ganzoo.training.callbacks.upload import Upload
from ganzoo.training.callbacks.warning_log import WarningLog

__all__ = [
    "Callback",
    "Callbacks",
    "FailureAlarms",
    "MetricsLog",
    "TensorBoard",
    "Training",
    "Upload",
    "WarningLog",
    "checked_callbacks",
    "get_logger",
]


def get_logger(name: str) -> type[Callback]:
    """The logger called `name`. Raises UsageError for an unknown name, and PluginError for one that cannot be used."""
    logger: type[Callback] = registry.get(LOGGERS, name, as_logger).card
    return logger


def checked_callbacks(callbacks: Callback | Iterable[Callback]) -> list[Callback]:
    """A list of `callbacks`, or of the one that was given. Raises UsageError if there is something else among them."""
    if isinstance(callbacks, Callback):
        return [callbacks]
    members = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for member in members:
        if not isinstance(member, Callback):
            hint = f": write {member.__name__}()" if isinstance(member, type) and issubclass(member, Callback) else ""
            raise UsageError(f"callbacks must be instances of ganzoo.Callback, but {member!r} is not{hint}.")
    return members


def as_logger(target: Any) -> type[Callback]:
    """`target`. Raises PluginError if it is not a subclass of `Callback`."""
    if not (isinstance(target, type) and issubclass(target, Callback)):
        actual = f"the class {target.__name__}" if isinstance(target, type) else f"a {type(target).__name__}"
        raise PluginError(f"it must be a subclass of ganzoo.Callback, but is {actual}")
    return target
