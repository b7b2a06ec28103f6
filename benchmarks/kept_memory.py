"""Measure how much faster a run's training step is when freed memory is kept (`ganzoo.training.malloc`).

    python -m benchmarks.kept_memory RUN

Two processes take turns, one of which keeps freed memory: a single process would have the same heap for both.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import statistics
import subprocess
import sys
import time

from ganzoo_benchmarks import runs
from ganzoo_benchmarks.peers import NATIVE

from ganzoo.core.errors import GanzooError
from ganzoo.training.malloc import freed_memory_kept
from ganzoo.training.run import Run

TURN_SECONDS = 1.0
CONTEXTS = {"returned": contextlib.nullcontext, "kept": freed_memory_kept}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each process")
    parser.add_argument("--turns-of", choices=CONTEXTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turns_of:
        take_turns(arguments.run, arguments.turns_of)
    else:
        try:
            Run.open(arguments.run)
        except GanzooError as refusal:
            parser.error(str(refusal))
        compare(arguments.run, arguments.rounds)


def compare(run: str, rounds: int) -> None:
    command = [sys.executable, "-m", "benchmarks.kept_memory", run, "--turns-of"]
    processes = {
        name: subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in CONTEXTS
    }
    turns: dict[str, list[list[float]]] = {name: [] for name in CONTEXTS}
    for _ in range(rounds):
        for name, process in processes.items():
            print(file=process.stdin, flush=True)
            turns[name].append([float(number) for number in process.stdout.readline().split()])
    for name, process in processes.items():
        process.communicate()
        seconds, faults, peak = (statistics.median(values) for values in zip(*turns[name]))
        print(f"{name + ':':10}{1e3 * seconds:8.1f} ms a step, {faults:7,.0f} page faults, peak {peak:,.0f} MiB")
    ratio = statistics.median(kept[0] / returned[0] for kept, returned in zip(turns["kept"], turns["returned"]))
    print(f"kept, of the time: {ratio:.2f}")


def take_turns(run: str, name: str) -> None:
    """A turn for every line of standard input: print seconds and page faults of a step, and the peak in MiB so far."""
    step = runs.cases(run)["training-step"].builders()[NATIVE]()
    with CONTEXTS[name]():
        step()
        start = time.perf_counter()
        step()
        steps = max(1, round(TURN_SECONDS / (time.perf_counter() - start)))
        for _ in sys.stdin:
            faults, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
            for _ in range(steps):
                step()
            seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
            print(seconds / steps, (used.ru_minflt - faults) / steps, used.ru_maxrss / 1024, flush=True)


if __name__ == "__main__":
    main()
