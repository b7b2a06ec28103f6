"""Deterministic process settings, restored on exit."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import torch

from ganzoo.training.precision import tf32

COMPILER = "TORCHINDUCTOR_DETERMINISTIC"


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
    """`torch.use_deterministic_algorithms` without the import of torch.compile, which it would tell."""
    mode, variable, compiler = torch.get_deterministic_debug_mode(), os.environ.get(COMPILER), _compiler()
    torch.set_deterministic_debug_mode("warn")
    os.environ[COMPILER] = "1"  # read when it is imported, if a plugin compiles a network
    if compiler is not None:
        compiler.deterministic = True
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        os.environ.pop(COMPILER)
        if variable is not None:
            os.environ[COMPILER] = variable
        if (compiler := _compiler()) is not None:
            compiler.deterministic = mode != 0


def _compiler() -> Any:
    """The settings of torch.compile's back end if it is imported."""
    return sys.modules.get("torch._inductor.config")
