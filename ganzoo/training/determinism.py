"""Deterministic process settings, restored on exit."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import torch

from ganzoo.training.precision import tf32

INDUCTOR = "TORCHINDUCTOR_DETERMINISTIC"
"""The variable that torch.compile's back end reads when it is imported, as it is if a plugin compiles a network."""


@contextlib.contextmanager
def deterministic(device: str, precision: str, threads: int | None = None) -> Iterator[None]:
    """Deterministic kernels, the float32 matrix precision and the number of threads of a run.

    Global random states are forked: the caller's are restored on exit, as all other settings are.
    """
    # cuBLAS is deterministic only with a fixed workspace, and reads this variable before its first call
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    fill, previous_threads = memory.fill_uninitialized_memory, torch.get_num_threads()
    memory.fill_uninitialized_memory = False  # a guard against uninitialised reads that costs a pass per tensor
    torch.set_num_threads(threads or previous_threads)
    gpus = [torch.empty(0, device=device).get_device()] if device.startswith("cuda") else []
    try:
        with (
            _deterministic_algorithms(),
            torch.random.fork_rng(gpus),
            tf32(precision == "tf32") if gpus else contextlib.nullcontext(),
        ):
            yield
    finally:
        memory.fill_uninitialized_memory = fill
        torch.set_num_threads(previous_threads)


@contextlib.contextmanager
def _deterministic_algorithms() -> Iterator[None]:
    """The effect of `torch.use_deterministic_algorithms(True, warn_only=True)`, without importing torch.compile."""
    mode, variable, inductor = torch.get_deterministic_debug_mode(), os.environ.get(INDUCTOR), _inductor()
    compiled = variable == "1" if inductor is None else inductor.deterministic
    torch.set_deterministic_debug_mode("warn")
    os.environ[INDUCTOR] = "1"
    if inductor is not None:
        inductor.deterministic = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        os.environ.pop(INDUCTOR, None)
        if variable is not None:
            os.environ[INDUCTOR] = variable
        if (inductor := _inductor()) is not None:
            inductor.deterministic = compiled


def _inductor() -> Any:
    """The settings of torch.compile's back end; None if it has not been imported."""
    return sys.modules.get("torch._inductor.config")
