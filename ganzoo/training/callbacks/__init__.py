"""Training callbacks, one file each. To add a logger, subclass `Callback` and pass it to `ganzoo.train`."""

from ganzoo.training.callbacks.callback import Callback, Callbacks, Training
from ganzoo.training.callbacks.failure_alarms import FailureAlarms
from ganzoo.training.callbacks.metrics_log import MetricsLog
from ganzoo.training.callbacks.tensorboard import TensorBoard
from ganzoo.training.callbacks.warning_log import WarningLog

__all__ = ["Callback", "Callbacks", "FailureAlarms", "MetricsLog", "TensorBoard", "Training", "WarningLog"]
