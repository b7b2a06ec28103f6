"""Modes found in points of mixtures, compared with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import ganzoo
from ganzoo import data
from ganzoo.data.points import Mixture
from ganzoo.evaluation import evaluate
from ganzoo.evaluation.metrics.modes import count_modes, uniform_divergence

SQUARE = Mixture(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]]), 0.1)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_real_points_agree_with_the_normal_distribution(name: str) -> None:
    real = data.open(name, split="test")
    counts = count_modes(real.values, real.mixture)
    assert (counts > 0).all()
    assert counts.sum() / len(real) == pytest.approx(stats.chi2(2).cdf(9), abs=0.005)
    assert uniform_divergence(counts) < 0.01


def test_missing_modes_and_points_between_modes_are_found() -> None:
    points, modes = SQUARE.sample(2000, seed=0)
    kept = points[modes < 3]
    bridge = np.linspace([0.5, 0.0], [3.5, 0.0], len(kept))
    counts = count_modes(np.concatenate([kept, bridge]), SQUARE)
    assert (counts > 0).tolist() == [True, True, True, False]
    assert counts.sum() / (2 * len(kept)) == pytest.approx(0.989 / 2, abs=0.01)
    assert count_modes(np.array([[0.299, 0.0], [0.301, 0.0]]), SQUARE).tolist() == [1, 0, 0, 0]


def test_divergence_from_even_shares() -> None:
    counts = np.array([70, 20, 10, 0])
    expected = stats.entropy(counts / 100, np.full(4, 0.25))
    assert uniform_divergence(counts) == pytest.approx(expected)
    assert uniform_divergence(np.array([5, 5, 5])) == pytest.approx(0)
    assert uniform_divergence(np.zeros(8, np.int64)) == pytest.approx(np.log(8))


def test_evaluate_measures_points_and_skips_image_metrics(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="ring", steps=2, out=tmp_path / "run", batch_size=32)
    result = evaluate(run, samples=2500)
    assert set(result.findings) == {"modes", "optimal_discriminator"}
    figures = result.figures
    assert figures["modes"]["real"] == 8
    assert figures["high_quality"]["real"] == pytest.approx(0.989, abs=0.01)
    assert 0 <= figures["high_quality"]["value"] < 0.5
    assert figures["jsd"]["value"] > 0.3 > 0.02 > abs(figures["jsd"]["real"])
    assert (run.path / "evaluation" / "optimal-discriminator.png").exists()
