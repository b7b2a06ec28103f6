"""Which implementation computes an operation: `auto`, `native` or `reference`."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
from collections.abc import Iterator

import torch

from ganzoo.core.errors import UsageError, did_you_mean

BACKENDS = ("auto", "native", "reference")
VARIABLE = "GANZOO_OPS"

_chosen: contextvars.ContextVar[str | None] = contextvars.ContextVar("ganzoo_ops_backend", default=None)
_told: set[str] = set()


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Within this context, operations whose `backend` argument is "auto" use the backend `name`.

    `auto` takes the native kernels where they are faster, `native` raises `NativeError` where they cannot serve,
    `reference` is plain PyTorch. Outside of any context the environment variable GANZOO_OPS chooses. What torch.compile
    has traced keeps the backend it was traced with. Raises UsageError for another name.
    """
    token = _chosen.set(_known(name, "backend"))
    try:
        yield
    finally:
        _chosen.reset(token)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def resolve(argument: str) -> str:
    """The backend to use: the argument unless it is "auto", else the context's, else GANZOO_OPS, else auto."""
    if _known(argument, "backend") != "auto":
        return argument
    return _chosen.get() or _known(os.environ.get(VARIABLE) or "auto", VARIABLE)


def tell_once(reason: str) -> None:
    """Logs why `auto` falls back to the reference, the first time it does."""
    if reason not in _told:
        _told.add(reason)
        logging.getLogger("ganzoo.ops").warning("native kernels are not used: %s; PyTorch computes instead", reason)


def _known(name: str, what: str) -> str:
    if name not in BACKENDS:
        raise UsageError(f"Unknown {what} {name!r}. {did_you_mean(name, BACKENDS)}")
    return name
