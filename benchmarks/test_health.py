"""The cost of monitoring: training steps that write diagnostics to metrics.jsonl, against steps that write nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
from ganzoo_benchmarks.timing import interleaved
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from ganzoo.core.errors import DataError
from ganzoo.gan import GAN
from ganzoo.losses import LOSSES
from ganzoo.training.config import TrainConfig
from ganzoo.training.diagnostics import Diagnostics
from ganzoo.training.failure_detection import FailureDetector
from ganzoo.training.loop import train_step
from ganzoo.training.metrics import MetricsAccumulator
from ganzoo.training.run import Run
from ganzoo.training.session import Session
from ganzoo.training.state import TrainingState

ROUNDS = 11
LOG_EVERY = TrainConfig().log_every
MAX_RATIO = 1.05
"""docs/metrics.md says less than 1.01; the rest is for the noise of the machine."""


def without_logs(gan: Any, on_real: Tensor, on_fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The discriminator's loss without `d_real` and `d_fake`."""
    return LOSSES[gan.config.loss].discriminator(on_real, on_fake, gan.config.real_label), {}


def with_logs(gan: Any, on_real: Tensor, on_fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The same loss with them. Both methods are replaced, so that both GANs compute the loss in one term."""
    return GAN.discriminator_objective(gan, on_real, on_fake)


@pytest.mark.parametrize("architecture", ["vanilla", "dcgan", "cgan"])
def test_monitoring_costs_little(benchmark: BenchmarkFixture, architecture: str, tmp_path: Path) -> None:
    """LOG_EVERY steps and one row of metrics. Both loops compute the gradient norms, which detect NaN."""
    try:
        session = Session.new({"architecture": architecture, "dataset": "mnist"}, {"batch_size": 64})
    except DataError as missing:
        pytest.skip(f"MNIST is not available: {missing}")
    bare, watched = (TrainingState(session.build().train(), session.config.seed) for _ in range(2))
    bare.gan.discriminator_objective = MethodType(without_logs, bare.gan)  # type: ignore[method-assign]
    watched.gan.discriminator_objective = MethodType(with_logs, watched.gan)  # type: ignore[method-assign]
    batches = session.make_batches()
    run = Run(tmp_path, {})
    metrics = MetricsAccumulator(run, watched, Diagnostics(watched, batches))
    detector = FailureDetector("nonsaturating")

    def plain() -> None:
        for _ in range(LOG_EVERY):
            train_step(bare, batches)
            bare.step += 1

    def ours() -> None:
        for _ in range(LOG_EVERY):
            metrics.add(train_step(watched, batches))
            watched.step += 1
        row = metrics.row()
        assert row is not None
        run.add_metrics(row)
        detector.update(row)

    times = interleaved({"bare": plain, "watched": ours}, ROUNDS, 1)
    benchmark.extra_info |= {f"{name} step, ms": round(1e3 * s / LOG_EVERY, 4) for name, s in times.items()}
    ratio = times["watched"] / times["bare"]
    benchmark.extra_info["ratio of medians"] = round(ratio, 4)
    benchmark.pedantic(ours, rounds=1)
    print(f"\n{architecture}: {benchmark.extra_info}")
    (*_, line) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert {"d_real", "d_fake", "diversity"} <= set(json.loads(line))
    assert ratio < MAX_RATIO
