"""Deterministic process settings, restored on exit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch

from ganzoo.training.precision import tf32


@contextlib.contextmanager
def deterministic(device: str, precision: str, threads: int | None = None) -> Iterator[None]:
    """Deterministic kernels, the float32 matrix precision and the number of threads of a run.

    Global random states are forked: the caller's are restored on exit, as all other settings are.
    """
    # cuBLAS is deterministic only with a fixed workspace, and reads this variable before its first call
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    enabled = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill, previous_threads = memory.fill_uninitialized_memory, torch.get_num_threads()
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # a guard against uninitialised reads that costs a pass per tensor
    torch.set_num_threads(threads or previous_threads)
    gpus = [torch.empty(0, device=device).get_device()] if device.startswith("cuda") else []
    try:
        with torch.random.fork_rng(gpus), tf32(precision == "tf32") if gpus else contextlib.nullcontext():
            yield
    finally:
        torch.use_deterministic_algorithms(enabled[0], warn_only=enabled[1])
        memory.fill_uninitialized_memory = fill
        torch.set_num_threads(previous_threads)
