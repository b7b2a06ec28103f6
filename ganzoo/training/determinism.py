"""What a training needs of the process it runs in, put back afterwards."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ganzoo.core.errors import TrainingError, out_of_memory
from ganzoo.training.config import Plan


@contextlib.contextmanager
def reproducible(plan: Plan, threads: int | None = None) -> Iterator[None]:
    """Deterministic kernels, the precision of float32 products and the thread count of the run.

    The process's own state is put back afterwards. Batches too large for memory, or too small for
    batch norm, are told as what to do about it.
    """
    import torch

    from ganzoo.training.precision import tf32

    # cuBLAS is deterministic only with a fixed workspace, and reads this before its first call
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill, had_threads = memory.fill_uninitialized_memory, torch.get_num_threads()
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # guards against reading garbage, at a pass per tensor
    torch.set_num_threads(threads or had_threads)
    gpus = [torch.empty(0, device=plan.device).get_device()] if plan.device.startswith("cuda") else []
    try:
        with torch.random.fork_rng(gpus), tf32(plan.precision == "tf32") if gpus else contextlib.nullcontext():
            yield
    except RuntimeError as failure:
        if not out_of_memory(failure):
            raise
        raise TrainingError(
            f"{plan.device} is out of memory with batch_size={plan.config.batch_size} in {plan.precision}. Try "
            f"--accumulate {2 * plan.config.accumulate}, --batch-size {max(1, plan.config.batch_size // 2)}, "
            "--precision bf16, or --no-cuda-graph."
        ) from failure
    except ValueError as failure:
        if "more than 1 value per channel" not in str(failure):
            raise
        raise TrainingError(
            f"batch_size={plan.config.batch_size} with accumulate={plan.config.accumulate} gives batch norm one value "
            f"per channel, which has no variance. Choose --batch-size {2 * plan.config.accumulate} or more."
        ) from failure
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = fill
        torch.set_num_threads(had_threads)
