"""Peak memory of DCGAN-64 training steps at batch 128, each contestant of `ganzoo bench` in a separate process."""

from __future__ import annotations

import statistics
import subprocess
import sys

from ganzoo_benchmarks.peers import CHANNELS_LAST, NATIVE, REFERENCE
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS, STEPS, BATCH = 3, 4, 128
CHILD = """
import contextlib, resource, sys
from ganzoo_benchmarks.steps import CONDITIONS, contestants
name, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
call = contestants(batch)[name]()
with CONDITIONS.get(name, contextlib.nullcontext)():
    for _ in range(steps):
        call()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20)
"""


def peak(name: str, steps: int) -> float:
    """Peak resident memory in MiB of a process that builds `name` and takes `steps`."""
    command = [sys.executable, "-c", CHILD, name, str(BATCH), str(steps)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_peak_memory_of_a_training_step(benchmark: BenchmarkFixture) -> None:
    peaks = {name: [peak(name, STEPS) for _ in range(ROUNDS)] for name in (NATIVE, REFERENCE, CHANNELS_LAST)}
    baseline = peak(NATIVE, 0)  # Python, torch, networks and images, common to all
    for name, values in peaks.items():
        benchmark.extra_info[f"{name}, MiB"] = round(statistics.median(values))
    benchmark.extra_info["before the first step, MiB"] = round(baseline)
    benchmark.extra_info[f"{NATIVE} against {REFERENCE}"] = round(
        statistics.median(peaks[NATIVE]) / statistics.median(peaks[REFERENCE]), 2
    )
    benchmark.pedantic(peak, args=(NATIVE, STEPS), rounds=1)
    print(f"\n{benchmark.extra_info}")
