"""The choice of the backend that computes an operation: `auto`, `native` or `reference`."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
from collections.abc import Iterator

import torch

from ganzoo.core.errors import GanzooError, UsageError, did_you_mean
from ganzoo.ops.constant_results import assume_constant_result

BACKENDS = ("auto", "native", "reference")
VARIABLE = "GANZOO_OPS"

_context: contextvars.ContextVar[str | None] = contextvars.ContextVar("ganzoo_ops_backend", default=None)
_recording: contextvars.ContextVar[bool] = contextvars.ContextVar("ganzoo_ops_recording", default=False)
_warned: set[str] = set()


class NativeError(GanzooError, RuntimeError):
    """The native kernels were requested and cannot compute the call; the message gives the reason."""


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Within this context, operations whose `backend` argument is "auto" use the backend `name`.

    `auto` uses the native kernels where they are faster, and plain PyTorch in a program that leaves this process:
    `torch.export`, `torch.onnx.export`, `torch.jit.trace`. `native` raises `NativeError` where the kernels cannot
    compute the call, `reference` is plain PyTorch. Outside of any context the environment variable GANZOO_OPS decides.
    Code that torch.compile has traced keeps the backend it was traced with. Raises UsageError for another name.
    """
    token = _context.set(_checked(name, "backend"))
    try:
        yield
    finally:
        _context.reset(token)


@contextlib.contextmanager
def recorded_in_a_graph() -> Iterator[None]:
    """Within this context, operations are recorded in a CUDA graph, or are those that a replay is compared with.

    Launching an operation of ours from Python costs more than one of PyTorch's; a graph's replay costs neither.
    """
    token = _recording.set(True)
    try:
        yield
    finally:
        _recording.reset(token)


@assume_constant_result
def recording() -> bool:
    """Whether operations are recorded in a CUDA graph."""
    return _recording.get()


@assume_constant_result
def resolve(argument: str) -> str:
    """The backend to use: the argument unless it is "auto", else the context's, else GANZOO_OPS, else auto."""
    if argument != "auto":
        return argument if argument in BACKENDS else _checked(argument, "backend")
    return _context.get() or _checked(os.environ.get(VARIABLE) or "auto", VARIABLE)


def exporting() -> bool:
    """Whether torch records a program for use elsewhere, where there are no kernels of ours and weights may change."""
    if torch.compiler.is_compiling():  # which cannot trace the other question
        return torch.compiler.is_exporting()
    return torch.compiler.is_exporting() or torch._C._is_tracing()


def warn_once(reason: str) -> None:
    """Log why `auto` falls back to the reference, the first time it does for this reason."""
    if reason not in _warned:
        _warned.add(reason)
        logging.getLogger("ganzoo.ops").warning("native kernels are not used: %s; PyTorch computes instead", reason)


def _checked(name: str, what: str) -> str:
    if name not in BACKENDS:
        raise UsageError(f"Unknown {what} {name!r}. {did_you_mean(name, BACKENDS)}")
    return name
