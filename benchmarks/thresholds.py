"""Where `auto` should use the native kernels on this machine: random shapes on both sides of its thresholds.

    python -m benchmarks.thresholds                                  # all operations, 5 to 15 minutes
    python -m benchmarks.thresholds --instructions avx2 --only same  # one operation, both sides limited to AVX2

One thread's processor time, kernels, PyTorch in channels_last and `auto` in turns, medians: inference, and forward with
the gradients of input and weight. A shape is "slower" if `auto` uses kernels that take at least 5% more time than
PyTorch, and "missed" if it leaves to PyTorch what kernels would do in at least 10% less. The summaries tell what the
choice costs from what choosing costs: of a small operation `auto` itself takes some microseconds more.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.random_calls import OPERATIONS, Call
from ganzoo.ops import cpu_library

LIMITS = {
    "avx512": {},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "generic": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
"""What limits PyTorch to an instruction set."""
BACKENDS = ("native", "reference", "auto")
SLOWER, MISSED = 0.95, 1.1
ROUNDS, TURN = 5, 2e-3
"""Turns of each contestant, and the seconds that one should take at least."""


def main() -> None:
    """Measure, print every shape, and a summary of each operation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", choices=LIMITS, help="limit both sides to these")
    parser.add_argument("--only", nargs="*", choices=OPERATIONS, default=list(OPERATIONS))
    parser.add_argument("--shapes", type=int, default=24, help="of each operation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    arguments = parser.parse_args()
    wanted = LIMITS.get(arguments.instructions, {})
    if any(os.environ.get(name) != value for name, value in wanted.items()):  # PyTorch reads them when it is imported
        sys.exit(subprocess.run([sys.executable, *sys.orig_argv[1:]], env=os.environ | wanted, check=False).returncode)

    cpu_library.choose_instruction_set(arguments.instructions)
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{cpu_library.instruction_set()}, PyTorch with {torch.backends.cpu.get_cpu_capability()}")
    rows = []
    for name in arguments.only:
        torch.manual_seed(arguments.seed)
        rng = random.Random(arguments.seed)
        calls = (OPERATIONS[name](rng) for _ in range(arguments.shapes))
        of_this = [shown(row) for call in calls for row in measure(name, call)]
        for mode in ("inference", "training"):
            print(summary(f"{name} {mode}", [row for row in of_this if row["mode"] == mode]), flush=True)
        rows += of_this
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=0))


def measure(name: str, call: Call) -> Iterator[dict[str, Any]]:
    """The times of an operation in inference and with gradients."""

    def infer(backend: str) -> None:
        with torch.no_grad():
            call.run(backend)

    def train(backend: str) -> None:
        out = call.run(backend)
        torch.autograd.grad(out, call.inputs, torch.ones_like(out))

    for mode, step in (("inference", infer), ("training", train)):
        times = race({backend: functools.partial(step, backend) for backend in BACKENDS})
        ratio = times["reference"] / times["native"]
        kernels = uses_kernels(step)
        yield {"operation": name, "mode": mode, "shape": call.shape, "kernels": kernels, "ratio": ratio, **times}


def uses_kernels(step: Callable[[str], None]) -> bool:
    """Whether `auto` computes this natively."""
    with Namespaces() as called:
        step("auto")
    return "ganzoo" in called.seen


class Namespaces(TorchDispatchMode):
    """The namespaces of all operators called in this context."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.add(func.namespace)
        return func(*args, **(kwargs or {}))


def race(contestants: dict[str, Callable[[], None]]) -> dict[str, float]:
    """The median processor seconds of a call of each, in turns."""
    for call in contestants.values():
        call()
    calls = {name: max(1, math.ceil(TURN / max(seconds(call, 1), 1e-6))) for name, call in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, call in contestants.items():
            call()
            times[name].append(seconds(call, calls[name]))
    return {name: median(values) for name, values in times.items()}


def seconds(call: Callable[[], None], calls: int) -> float:
    """Processor seconds of a call."""
    start = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - start) / calls


def is_slower(row: dict[str, Any]) -> bool:
    return bool(row["kernels"]) and row["ratio"] < SLOWER


def is_missed(row: dict[str, Any]) -> bool:
    return not row["kernels"] and chosen(row) > MISSED * row["native"]


def chosen(row: dict[str, Any]) -> float:
    """The time of what `auto` chose; of PyTorch's operations it may use others than the reference."""
    return float(row["native"] if row["kernels"] else min(row["reference"], row["auto"]))


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """The row, which is printed."""
    native, reference, auto = (f"{row[backend] * 1e3:8.3f}" for backend in BACKENDS)
    verdict = "slower" if is_slower(row) else "missed" if is_missed(row) else ""
    print(
        f"{row['operation']:16} {row['mode']:9} {row['shape']:44} {native} ms {reference} {row['ratio']:6.2f}"
        f"  auto {auto} by {'kernels' if row['kernels'] else 'PyTorch':7} {verdict}",
        flush=True,
    )
    return row


def summary(title: str, rows: list[dict[str, Any]]) -> str:
    """The line below a table: how many shapes `auto` got wrong, and how much slower than the best it is on average."""
    taken = [row["ratio"] for row in rows if row["kernels"]]
    choice, auto = (
        100 * (geometric_mean([time / min(row[name] for name in BACKENDS) for row, time in zip(rows, times)]) - 1)
        for times in ([*map(chosen, rows)], [row["auto"] for row in rows])
    )
    return (
        f"== {title}: {len(taken)} of {len(rows)} by kernels"
        + (f", ratio {min(taken):.2f} to {max(taken):.2f}, median {median(taken):.2f}" if taken else "")
        + f"; {sum(map(is_slower, rows))} slower, {sum(map(is_missed, rows))} missed, "
        f"its choice {choice:.1f}% above the best time, auto itself {auto:.1f}%"
    )


if __name__ == "__main__":
    main()
