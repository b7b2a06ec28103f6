from __future__ import annotations

import numpy as np
import pytest
import torch

from ganzoo.evaluation.metrics.coverage import manifold_scores


def blob(count: int, centre: float = 0, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)) + centre


def by_definition(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """The papers' formulas on complete distance matrices."""

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))

    real_balls = np.sort(distances(real, real), axis=1)[:, k]
    fake_balls = np.sort(distances(fake, fake), axis=1)[:, k]
    between = distances(fake, real)
    return {
        "precision": (between < real_balls).any(1).mean(),
        "recall": (fake_balls > between.T).any(1).mean(),
        "density": (between < real_balls).sum() / (k * len(fake)),
        "coverage": (between.min(0) < real_balls).mean(),
    }


def test_equals_the_definitions() -> None:
    real, fake = blob(120), blob(150, 0.7, 1)
    assert manifold_scores(real, fake, 5) == pytest.approx(by_definition(real.numpy(), fake.numpy(), 5))


def test_two_samples_of_one_distribution_score_high() -> None:
    scores = manifold_scores(blob(1000), blob(1000, seed=1))
    assert scores["precision"] > 0.9
    assert scores["recall"] > 0.9
    assert scores["coverage"] > 0.9
    assert scores["density"] == pytest.approx(1, abs=0.1)


def test_a_missing_mode_costs_recall_and_coverage_but_not_precision() -> None:
    scores = manifold_scores(torch.cat([blob(500), blob(500, 20, 1)]), blob(1000, seed=2))
    assert scores["precision"] > 0.9
    assert scores["recall"] == pytest.approx(0.5, abs=0.05)
    assert scores["coverage"] == pytest.approx(0.5, abs=0.05)


def test_outliers_cost_precision_but_not_coverage() -> None:
    scores = manifold_scores(blob(1000), torch.cat([blob(1000, seed=1), blob(1000, 50, 2)]))
    assert scores["precision"] == pytest.approx(0.5, abs=0.05)
    assert scores["coverage"] > 0.9


def test_a_repeated_image_covers_nothing() -> None:
    scores = manifold_scores(blob(500), blob(1, seed=1).repeat(500, 1))
    assert scores["recall"] == 0
    assert scores["coverage"] < 0.1
