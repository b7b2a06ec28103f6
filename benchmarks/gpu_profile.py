"""The kernels of one DCGAN-64 training step on a GPU, by the time they take: with the CUDA kernels and with PyTorch.

python -m benchmarks.gpu_profile
"""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.test_ops_cuda import training

CALLS, ROWS = 20, 28


def table(backend: str) -> list[str]:
    """Lines: microseconds of a step, launches of a step and name of each kernel, and their sum."""
    call = training(backend, graphed=True)
    for _ in range(5):
        call()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        for _ in range(CALLS):
            call()
        torch.cuda.synchronize()
    rows = [(e.self_device_time_total / CALLS, e.count / CALLS, e.key) for e in recorded.key_averages()]
    rows = sorted((row for row in rows if row[0] > 0), reverse=True)
    total = f"{sum(us for us, _, _ in rows):8.1f} us in {sum(n for _, n, _ in rows):.0f} kernels, {backend}"
    return [total, *(f"{us:8.1f} us {count:5.1f} x  {name[:150]}" for us, count, name in rows[:ROWS])]


if __name__ == "__main__":
    torch.backends.cudnn.benchmark = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    print(*table("auto"), *table("reference"), sep="\n")
