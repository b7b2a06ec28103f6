"""Weight gradients of many images and few channels, and of few pixels, which are divided among threads."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.csrc.test_kernels import UNIT, WINOGRAD, normal, same_bits, weight_gradient, within

Array = np.ndarray[Any, np.dtype[Any]]
THREADS = (1, 2, 3, 5, 8)


@pytest.mark.parametrize(
    ("n", "h", "w", "cs", "cb"),
    [(64, 16, 16, 33, 17), (35, 16, 12, 64, 32), (90, 8, 8, 70, 40), (40, 9, 17, 16, 16)],
    ids=["one part", "whole blocks", "four parts", "odd sizes"],
)
def test_kernel_4(kernels: ModuleType, n: int, h: int, w: int, cs: int, cb: int) -> None:
    rng = np.random.default_rng(n)
    small, big = normal(rng, n, h, w, cs), normal(rng, n, 2 * h, 2 * w, cb)
    alone, *others = [kernels.weight_gradient(small, big, True, threads) for threads in THREADS]
    for other in others:
        same_bits(alone, other)
    within(alone, weight_gradient(small, big), UNIT * WINOGRAD * weight_gradient(np.abs(small), np.abs(big)).max())


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize(
    ("n", "size", "cin", "cout"),
    [(40, 16, 32, 32), (30, 17, 40, 70), (64, 8, 17, 130)],
    ids=["one part", "four parts", "more outputs"],
)
def test_kernels_with_stride_1(kernels: ModuleType, kernel: int, n: int, size: int, cin: int, cout: int) -> None:
    rng = np.random.default_rng(n)
    x, grad = normal(rng, n, size, size, cin), normal(rng, n, size + 3 - kernel, size + 3 - kernel, cout)
    alone, *others = [kernels.weight_gradient_stride1(x, grad, kernel, 1, threads) for threads in THREADS]
    for other in others:
        same_bits(alone, other)
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    window = padded[:, 1 : 1 + grad.shape[1], 2 : 2 + grad.shape[2]]  # of the tap in row 1, column 2
    exact, magnitude = (
        np.tensordot(a, b, axes=([0, 1, 2], [0, 1, 2]))
        for a, b in [(grad.astype(np.float64), window), (np.abs(grad).astype(np.float64), np.abs(window))]
    )
    within(alone[:, 1, 2], exact, UNIT * WINOGRAD * magnitude.max())


@pytest.mark.parametrize(
    ("pixels", "cin", "cout"), [(700, 40, 130), (5000, 20, 70), (40, 3, 33)], ids=["one part", "two parts", "few"]
)
@pytest.mark.parametrize("activated", [True, False], ids=["activations", "plain"])
def test_kernel_1(kernels: ModuleType, pixels: int, cin: int, cout: int, activated: bool) -> None:
    rng = np.random.default_rng(pixels)
    x, grad, x_signs, grad_signs = (normal(rng, pixels, c) for c in (cin, cout, cin, cout))
    signs = (x_signs, grad_signs) if activated else (None, None)
    alone, *others = [kernels.weight_gradient_1x1(x, grad, *signs, 0.25, threads) for threads in THREADS]
    for other in others:
        same_bits(alone, other)
    if activated:
        x, grad = np.where(x_signs > 0, x, x / 4), np.where(grad_signs > 0, grad, grad / 4)
    magnitude = np.abs(grad).astype(np.float64).T @ np.abs(x)
    within(alone, grad.astype(np.float64).T @ x, 32 * UNIT * magnitude.max())
