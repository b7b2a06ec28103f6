"""Diagnostics of generators whose samples are known; learning rates and penalties that decay."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ganzoo
from ganzoo.core import registry
from ganzoo.core.errors import UsageError
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.training import checkpoint
from ganzoo.training.batches import Batches
from ganzoo.training.diagnostics import Diagnostics
from ganzoo.training.loop import train_step
from ganzoo.training.state import TrainingState
from tests.sessions import session


def training(architecture: str = "vanilla", dataset: str = "digits", **settings: Any) -> tuple[TrainingState, Batches]:
    prepared = session(architecture, dataset, {"batch_size": 16, **settings})
    state = TrainingState(prepared.build(), 0)
    return state, Batches(prepared.data, 16, 0, state.device)


class Fixed(nn.Module):
    """A generator that returns the given samples."""

    def __init__(self, samples: Tensor):
        super().__init__()
        self.samples = samples

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.samples[: len(z)]


def measure(samples: Tensor) -> dict[str, float]:
    state, batches = training()
    diagnostics = Diagnostics(state, batches)
    state.gan.generator = Fixed(samples)
    return {name: float(value) for name, value in diagnostics.measure().items()}


def real(count: int) -> Tensor:
    """Real images other than those that `Diagnostics` compares with."""
    _, batches = training()
    return torch.cat([batches(4 + number)[0] for number in range(-(-count // 16))])[:count]


def test_real_data_are_as_diverse_as_real_data() -> None:
    diagnostics = measure(real(64))
    assert diagnostics["diversity"] == pytest.approx(1, abs=0.1)
    assert diagnostics["duplicates"] == 0


def test_a_single_picture_has_no_diversity_and_only_duplicates() -> None:
    diagnostics = measure(real(1).expand(64, -1, -1, -1).clone())
    assert diagnostics["diversity"] == 0
    assert diagnostics["duplicates"] == 1


def test_duplicates_are_counted() -> None:
    samples = real(64)
    samples[:16] = samples[16:32]
    assert measure(samples)["duplicates"] == pytest.approx(0.5)


@pytest.mark.parametrize("architecture", ganzoo.architectures())
def test_measuring_changes_nothing(architecture: str) -> None:
    fixture = ArchitectureFixture(registry.find_architecture(architecture).card, {})
    state = fixture.state()
    batches = fixture.batches(state.gan)
    train_step(state, batches)
    diagnostics = Diagnostics(state, batches)
    before = {name: tensor.clone() for name, tensor in state.gan.state_dict().items()}
    random, mode = torch.get_rng_state(), state.gan.generator.training
    first, second = diagnostics.measure(), diagnostics.measure()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(before[name], tensor) for name, tensor in state.gan.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert state.gan.generator.training is mode


def test_every_row_of_metrics_has_the_diagnostics(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="ring", steps=60, batch_size=32, out=tmp_path / "run")
    for row in run.metrics():
        assert {"diversity", "duplicates", "generator_gradient", "discriminator_gradient"} <= set(row)
        distances = abs(row["d_real"] - 0.5), abs(row["d_fake"] - 0.5)
        # the distance of a mean is at most the mean of distances
        assert sum(distances) / 2 <= row["equilibrium_distance"] + 1e-6
    scores = ganzoo.train("vanilla", dataset="ring", steps=2, batch_size=32, loss="hinge", out=tmp_path / "hinge")
    assert "equilibrium_distance" not in scores.metrics()[-1]


def test_learning_rates_halve_after_a_half_life() -> None:
    state, batches = training(lr_half_life=32, generator_lr=1e-3, discriminator_lr=4e-3)
    for _ in range(5):
        train_step(state, batches)
        state.step += 1
    rates = {name: player.optimizer.param_groups[0]["lr"] for name, player in state.players.items()}
    assert rates == pytest.approx(
        {"generator": 1e-3 / 4, "discriminator": 4e-3 / 4}
    )  # the fifth step begins after 64 images


@pytest.mark.parametrize(("decay", "factors"), [("linear", (1, 0.5, 0, 0)), ("cosine", (1, 0.5, 0, 0))])
def test_learning_rates_decay_to_zero(decay: str, factors: tuple[float, ...]) -> None:
    state, _ = training(lr_decay=decay, lr_decay_images=64, generator_lr=1e-3)
    for step, factor in zip((0, 2, 4, 5), factors):  # of 16 images
        state.step = step
        state.apply_schedules()
        assert state.players["generator"].optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * factor)
    state.step = 1
    state.apply_schedules()
    quarter = 0.75 if decay == "linear" else (1 + math.sqrt(0.5)) / 2
    assert state.players["generator"].optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * quarter)


@pytest.mark.parametrize(
    "settings",
    [{"lr_decay": "linear"}, {"lr_decay_images": 64}, {"lr_decay": "cosine", "lr_decay_images": 64, "lr_half_life": 9}],
)
def test_schedules_that_contradict_each_other_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"lr_decay=.* Choose "):
        training(**settings)


@pytest.mark.parametrize(("architecture", "penalty"), [("vanilla", "r1"), ("r3gan", "r1r2")])
def test_the_weight_of_a_penalty_halves_after_a_half_life(architecture: str, penalty: str) -> None:
    """Measured in the loss, to which some architectures add the penalty themselves."""
    state, batches = training(architecture, penalty=penalty, penalty_weight=8.0, penalty_half_life=32)
    (real, condition), fake = batches(0), state.gan.generate(state.gan.latent(batches.batch_size, state.rng)).detach()
    state.gan.eval()  # dropout would make the losses differ
    parts = {}
    for step in (0, 4):  # 64 images later
        state.step = step
        state.apply_schedules()
        loss, logs = state.gan.discriminator_loss(real, fake, condition)
        state.gan.penalty_weight = 0.0
        parts[step] = (loss - state.gan.discriminator_loss(real, fake, condition)[0]) / logs["penalty"]
    torch.testing.assert_close(parts[0], torch.tensor(8.0), rtol=1e-3, atol=0)
    torch.testing.assert_close(parts[4], torch.tensor(2.0), rtol=1e-3, atol=0)


def test_decaying_rates_and_penalties_resume_exactly(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"dataset": "digits", "batch_size": 16, "lr_half_life": 100, "penalty": "r1"}
    settings["penalty_half_life"] = 100
    whole = ganzoo.train("vanilla", steps=6, out=tmp_path / "whole", **settings)
    half = ganzoo.train("vanilla", steps=3, out=tmp_path / "half", **settings)
    ganzoo.train(resume=half.path, steps=6)
    first, second = (ganzoo.load(run.path).state_dict() for run in (whole, half))
    assert all(torch.equal(first[name], second[name]) for name in first)
    (group,) = checkpoint.read_state(whole.checkpoints / "step-00000006")["generator_optimizer"]["param_groups"]
    assert group["lr"] == pytest.approx(group["initial_lr"] * 0.5 ** (5 * 16 / 100))  # of the sixth step
