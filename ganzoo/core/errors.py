"""Errors that are shown to users as one message, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GanzooError(Exception):
    """An error that the user can act on. The command line exits with `exit_code`."""

    exit_code = 1
    on_every_rank = False
    """Whether every rank raises it, so that only rank 0 prints it."""
    said_by_rank0 = False
    """Whether this is another rank, and rank 0 raises the same."""


class UsageError(GanzooError, ValueError):
    """The request is wrong: an unknown name, an invalid value, contradictory settings."""

    exit_code = 2
    on_every_rank = True


class PluginError(GanzooError):
    """A plugin is installed but cannot be used."""


class DataError(GanzooError):
    """A data set is missing, damaged or of an unexpected shape."""


class SplitError(DataError):
    """A data set does not have the requested split."""


class CheckpointError(GanzooError):
    """A checkpoint is missing, damaged, or belongs to another run."""


class StorageError(GanzooError):
    """Object storage cannot be reached, or refuses a request."""


class TrainingError(GanzooError):
    """Training cannot continue, e.g. because a loss is not finite."""

    on_every_rank = True


def did_you_mean(word: str, known: Iterable[str], listed_by: str = "") -> str:
    """The end of an error message about an unknown `word`: similar names, names that contain it, or all names.

    Instead of too many names it gives the command that they are `listed_by`.
    """
    names = {name.lower(): name for name in sorted(set(known))}
    if not names:
        return "None is installed."
    word = word.lower()
    if word in names:
        return f"Did you mean {names[word]}?"
    similar = difflib.get_close_matches(word, names, n=2, cutoff=0.7)
    similar = similar or [name for name in names if len(word) > 1 and word in name][:3]
    all_names = f"All are listed by: {listed_by}" if listed_by else ""
    if similar:
        return f"Did you mean {' or '.join(names[name] for name in similar)}? {all_names}".rstrip()
    return all_names or f"Known: {', '.join(names.values())}."


def memory_exhausted(failure: BaseException) -> bool:
    """Whether `failure` means that CPU or GPU memory is exhausted."""
    return isinstance(failure, MemoryError) or "allocate" in str(failure) or out_of_memory(failure)


def out_of_memory(failure: BaseException) -> bool:
    """Whether `failure` means that GPU memory is exhausted; CUDA libraries raise a plain RuntimeError for it."""
    return isinstance(failure, RuntimeError) and any(
        words in str(failure) for words in ("out of memory", "STATUS_ALLOC_FAILED")
    )
