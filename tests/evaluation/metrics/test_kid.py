from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from ganzoo.evaluation.metrics.kid import kernel_distance, unbiased_mmd


def gaussian(count: int, shift: float, seed: int) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)) + shift


def test_equals_torchmetrics() -> None:
    x, y = gaussian(80, 0, 0).double(), gaussian(80, 0.5, 1).double()
    assert float(unbiased_mmd(x, y)) == pytest.approx(float(poly_mmd(x, y)))


def test_equals_the_definition_written_as_loops() -> None:
    x, y = gaussian(7, 0, 0).double(), gaussian(7, 1, 1).double()

    def kernel(u: torch.Tensor, v: torch.Tensor) -> float:
        return (float(u @ v) / 6 + 1) ** 3

    pairs = [(i, j) for i in range(7) for j in range(7)]
    within = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs if i != j) / (7 * 6)
    between = sum(kernel(x[i], y[j]) for i, j in pairs) / 49
    assert float(unbiased_mmd(x, y)) == pytest.approx(within - 2 * between)


def test_is_unbiased_and_rises_with_the_shift() -> None:
    rng = np.random.default_rng(0)
    values = [kernel_distance(gaussian(2000, 0, 0), gaussian(2000, s, 1), 50, 200, rng) for s in (0, 0.3, 0.6)]
    same, spread = values[0]
    assert abs(same) < spread
    assert same < values[1][0] < values[2][0]
