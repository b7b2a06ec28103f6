"""Errors meant for people: one clear message, no traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GanzooError(Exception):
    """Something failed that the user can understand and act on. The command line exits with `exit_code`."""

    exit_code = 1
    on_every_rank = False
    """Whether ranks that train together all raise it, so that one message is enough."""


class UsageError(GanzooError, ValueError):
    """The request itself is wrong: an unknown name, a bad value, choices that contradict each other."""

    exit_code = 2
    on_every_rank = True


class PluginError(GanzooError):
    """A plugin is installed but cannot be used."""


class DataError(GanzooError):
    """A data set is missing, damaged or of an unexpected shape."""


class SplitError(DataError):
    """A data set has no images of the split that was asked for."""


class CheckpointError(GanzooError):
    """A checkpoint is missing, damaged, or does not belong to this run."""


class TrainingError(GanzooError):
    """Training cannot go on, e.g. because a loss is no longer finite."""

    on_every_rank = True


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown `word`: similar names, names that contain it, or all names."""
    names = {name.lower(): name for name in sorted(set(known))}
    if not names:
        return "None is installed."
    word = word.lower()
    if word in names:
        return f"Did you mean {names[word]}?"
    similar = difflib.get_close_matches(word, names, n=2, cutoff=0.7)
    similar = similar or [name for name in names if len(word) > 1 and word in name][:3]
    if similar:
        return f"Did you mean {' or '.join(names[name] for name in similar)}?"
    return f"Known: {', '.join(names.values())}."


def no_memory(failure: BaseException) -> bool:
    """Whether `failure` says that there is no memory left, of the CPU or of a GPU."""
    return isinstance(failure, MemoryError) or "allocate" in str(failure) or out_of_memory(failure)


def out_of_memory(failure: BaseException) -> bool:
    """Whether `failure` says that the GPU has no memory left: torch has a type for it, its libraries have words."""
    return isinstance(failure, RuntimeError) and any(
        words in str(failure) for words in ("out of memory", "STATUS_ALLOC_FAILED")
    )
