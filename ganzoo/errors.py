"""Public names of `ganzoo.core.errors`, for plugin packages."""

from ganzoo.core.errors import (
    CheckpointError,
    DataError,
    GanzooError,
    PluginError,
    SplitError,
    StorageError,
    TrainingError,
    UsageError,
    did_you_mean,
)

__all__ = [
    "CheckpointError",
    "DataError",
    "GanzooError",
    "PluginError",
    "SplitError",
    "StorageError",
    "TrainingError",
    "UsageError",
    "did_you_mean",
]
