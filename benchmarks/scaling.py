"""The cost of a training step on several ranks: computation and communication.

    torchrun --standalone --nproc-per-node 2 benchmarks/scaling.py dcgan --image-size 32 --batch-size 64

The batch size is the total over all ranks. Every rank uses one thread unless OMP_NUM_THREADS is set.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from typing import Any

from torch import Tensor

from ganzoo.core import distributed
from ganzoo.training.batches import Batches
from ganzoo.training.loop import train_step
from ganzoo.training.session import Session
from ganzoo.training.state import TrainingState


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("architecture")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    with distributed.process_group():
        settings = {name: getattr(options, name) for name in ("image_size", "batch_size", "accumulate")}
        session = Session.new({"architecture": options.architecture, "dataset": "digits"}, settings)
        state = TrainingState(session.build(), session.config.seed)
        result = measure(state, session.make_batches(), options.steps)
        if distributed.rank() == 0:
            peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            print(json.dumps(vars(options) | {"ranks": distributed.size()} | result | {"peak_mib": peak}))


def measure(state: TrainingState, batches: Batches, steps: int) -> dict[str, Any]:
    """Median time of a step after three warm-up steps, and messages, bytes and time in all-reduces of one step."""
    messages: list[tuple[int, float]] = []
    reduce = distributed._all_reduce

    def counted(tensor: Tensor, *operation: Any) -> None:
        began = time.perf_counter()
        reduce(tensor, *operation)
        messages.append((tensor.numel() * tensor.element_size(), time.perf_counter() - began))

    distributed._all_reduce = counted
    times, waits = [], []
    for _ in range(steps + 3):
        messages.clear()
        distributed.all_reduce_max(0)  # start together
        began = time.perf_counter()
        train_step(state, batches)
        state.step += 1
        times.append(time.perf_counter() - began)
        waits.append(sum(seconds for _, seconds in messages[1:]))
    return {
        "step_ms": round(1e3 * statistics.median(times[3:]), 2),
        "all_reduce_ms": round(1e3 * statistics.median(waits[3:]), 2),
        "messages": len(messages[1:]),
        "bytes": sum(size for size, _ in messages[1:]),
    }


if __name__ == "__main__":
    main()
