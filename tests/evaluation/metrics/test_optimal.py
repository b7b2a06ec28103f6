"""The optimal discriminator and the divergence it gives, compared with integrals of known densities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import ganzoo
from ganzoo import data
from ganzoo.data.points import Mixture
from ganzoo.evaluation.context import EvaluationContext
from ganzoo.evaluation.metrics import all_metrics
from ganzoo.evaluation.metrics.optimal import DensityRatio

DATA = Mixture(np.array([[0.0, 0.0], [2.0, 0.0]]), 0.2)


def integrated(p: Mixture, q: Mixture) -> float:
    """Jensen-Shannon divergence on a fine grid, both densities smoothed as `DensityRatio` does."""
    p, q = (Mixture(m.means, float(np.hypot(m.sigma, DATA.sigma))) for m in (p, q))
    axis, step = np.linspace(-3, 5, 600, retstep=True)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    at = [m.density(points) + 1e-300 for m in (p, q)]
    middle = (at[0] + at[1]) / 2
    return float(sum((d * np.log(d / middle)).sum() for d in at) / 2 * step**2)


@pytest.mark.parametrize(
    "generated",
    [
        DATA,
        Mixture(np.array([[0.0, 0.0]]), 0.2),
        Mixture(np.array([[0.0, 0.3], [2.0, 0.3]]), 0.2),
        Mixture(np.array([[0.0, 3.0]]), 0.2),
    ],
    ids=["the data itself", "one mode of two", "shifted", "apart"],
)
def test_divergence_is_that_of_the_densities(generated: Mixture) -> None:
    ratio = DensityRatio(DATA, generated.sample(6000, seed=1)[0])
    divergence = ratio.divergence(DATA.sample(6000, seed=2)[0], np.random.default_rng(3))
    assert divergence == pytest.approx(integrated(DATA, generated), abs=0.015)


def test_optimum_is_one_half_where_densities_agree_and_one_where_samples_are_missing() -> None:
    ratio = DensityRatio(DATA, DATA.sample(20_000, seed=1)[0])
    assert ratio.discriminator(DATA.means) == pytest.approx([0.5, 0.5], abs=0.03)
    ratio = DensityRatio(DATA, Mixture(DATA.means[:1], 0.2).sample(20_000, seed=1)[0])
    assert ratio.discriminator(DATA.means) == pytest.approx([1 / 3, 1], abs=0.03)
    assert ratio.discriminator(np.array([[0.0, 9.0]])) == pytest.approx(0.5)
    assert np.isnan(ratio.discriminator(np.array([[0.0, 9.0]]), empty=1e-3)).all()


def test_divergence_rises_as_modes_are_dropped() -> None:
    ring = data.open("ring")
    assert ring.mixture is not None
    divergences = []
    for kept in (8, 4, 1):
        samples = Mixture(ring.mixture.means[:kept], ring.mixture.sigma).sample(4000, seed=1)[0]
        divergences.append(DensityRatio(ring.mixture, samples).divergence(ring.points[:4000], np.random.default_rng(0)))
    assert divergences == sorted(divergences)
    assert divergences[0] < 0.02
    assert divergences[2] <= np.log(2)


def test_distance_of_a_constant_discriminator(tmp_path: Path) -> None:
    """It outputs 1/2 everywhere, so its distance from D* is that of D* from 1/2."""
    run = ganzoo.train("vanilla", dataset="ring", steps=1, batch_size=32, out=tmp_path / "run")
    gan = ganzoo.load(run.path)
    with torch.no_grad():
        for parameter in gan.discriminator.parameters():
            parameter.zero_()
    ring = data.open("ring", split="test")
    context = EvaluationContext(gan, data.open("ring"), ring, 2000)
    values = all_metrics()["optimal_discriminator"].measure(context).values
    assert values["discriminator_distance"].value == pytest.approx(0.5, abs=0.05)  # samples lie nowhere near the ring


def test_another_loss_has_another_optimum(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="ring", steps=1, batch_size=32, loss="hinge", out=tmp_path / "run")
    context = EvaluationContext(ganzoo.load(run.path), data.open("ring"), data.open("ring", split="test"), 1000)
    assert set(all_metrics()["optimal_discriminator"].measure(context).values) == {"jsd"}
