"""Training speed in images per second: ganzoo's loop against a plain PyTorch loop, same networks, batch 64."""

from __future__ import annotations

from typing import Any

import pytest
from ganzoo_benchmarks.timing import interleaved
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.baselines import plain_steps
from ganzoo.core.errors import DataError
from ganzoo.ops import use_backend
from ganzoo.training.batches import Batches
from ganzoo.training.loop import train_step
from ganzoo.training.session import Session
from ganzoo.training.state import TrainingState

ROUNDS, STEPS = 15, 20
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    # the layer widths of the most-starred collection of PyTorch GAN scripts, whose plain GAN has no dropout
    "vanilla": (
        "vanilla",
        {"generator_widths": (128, 256, 512, 1024), "discriminator_widths": (512, 256), "dropout": 0.0},
    ),
    "cgan-mlp": (
        "cgan",
        {
            "networks": "mlp",
            "embedding": 10,
            "image_size": 32,
            "generator_widths": (128, 256, 512, 1024),
            "discriminator_widths": (512, 512, 512),
        },
    ),
    "cgan": ("cgan", {}),
    "dcgan": ("dcgan", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_training_against_a_plain_loop(benchmark: BenchmarkFixture, case: str) -> None:
    architecture, settings = CASES[case]
    try:
        session = Session.new({"architecture": architecture, "dataset": "mnist"}, {**settings, "batch_size": 64})
    except DataError as missing:
        pytest.skip(f"MNIST is not here: {missing}")

    baseline = plain_steps(session.build().train(), session.data)
    state = TrainingState(session.build().train(), session.config.seed)
    batches = Batches(session.data, 64, session.config.seed, state.device)

    def plain() -> None:
        with use_backend("reference"):
            next(baseline)

    def ours() -> None:
        train_step(state, batches)
        state.step += 1

    times = interleaved({"plain": plain, "ganzoo": ours}, ROUNDS, STEPS)
    for name, seconds in times.items():
        benchmark.extra_info[f"{name} images/s"] = round(64 / seconds)
    benchmark.extra_info["ratio of medians"] = round(times["plain"] / times["ganzoo"], 2)
    benchmark.pedantic(ours, rounds=ROUNDS, iterations=STEPS)
    print(f"\n{case}: {benchmark.extra_info}")
