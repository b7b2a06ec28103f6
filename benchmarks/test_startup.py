"""The time of `ganzoo list`, compared with that of importing torch, which it avoids."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 15
LIST = [sys.executable, "-m", "ganzoo", "list"]
WITH_TORCH = [sys.executable, "-c", "import torch"]


def wall(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def test_list(benchmark: BenchmarkFixture) -> None:
    wall(LIST)
    wall(WITH_TORCH)
    pairs = [(wall(LIST), wall(WITH_TORCH)) for _ in range(ROUNDS)]
    ours, torch = (statistics.median(times) for times in zip(*pairs))
    benchmark.extra_info["ganzoo list, seconds"] = round(ours, 3)
    benchmark.extra_info["import torch alone, seconds"] = round(torch, 3)
    benchmark.pedantic(wall, args=(LIST,), rounds=ROUNDS)
    print(f"\n{benchmark.extra_info}")
