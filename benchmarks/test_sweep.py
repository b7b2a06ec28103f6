"""Random shapes for which `auto` uses the native kernels, against the reference, to find any that is slower."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from statistics import median

import pytest
import torch
from ganzoo_benchmarks.timing import turns
from pytest_benchmark.fixture import BenchmarkFixture

from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU
from ganzoo.ops import cpu_library, use_backend
from ganzoo.ops.conv_bn import CONV_BN, CONV_TRANSPOSE_BN
from ganzoo.ops.dispatch import Kernels

SHAPES, ROUNDS = 40, 7
REASON = cpu_library.unavailable_reason()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native kernels: {REASON}")


def random_shapes(count: int) -> list[tuple[str, int, int, int, int, int]]:
    """(kind, batch, input channels, output channels, height, width) for which `auto` uses the kernels."""
    rng, shapes = random.Random(0), []
    while len(shapes) < count:
        kind, batch = rng.choice(["up", "down"]), rng.choice([1, 2, 5, 16, 32, 64, 100, 128])
        cin, cout = rng.choice([32, 48, 64, 100, 128, 200, 256, 512]), rng.choice([32, 64, 96, 128, 256, 500])
        h, w = rng.randint(2, 32), rng.randint(2, 32)
        work = batch * cin * cout * h * w * (16 if kind == "up" else 4)
        weight = torch.empty((cin, cout, 4, 4) if kind == "up" else (cout, cin, 4, 4), device="meta")
        rule = CONV_TRANSPOSE_BN if kind == "up" else CONV_BN
        x = torch.empty(batch, cin, h, w, device="meta")
        if work < 1 << 33 and rule.is_profitable(Kernels.CPU, x, weight):
            shapes.append((kind, batch, cin, cout, h, w))
    return shapes


def contestants(kind: str, batch: int, cin: int, cout: int, h: int, w: int) -> dict[str, Callable[[], None]]:
    """Forward and backward pass in channels_last, by the kernels and by the reference."""
    block = (ConvTransposeBNReLU if kind == "up" else ConvBNLeakyReLU)(cin, cout)
    block.to(memory_format=torch.channels_last)
    x = torch.randn(batch, cin, h, w).contiguous(memory_format=torch.channels_last).requires_grad_()

    def step(backend: str) -> None:
        with use_backend(backend):
            y = block(x)
        y.backward(y.detach())

    return {name: functools.partial(step, name) for name in ("native", "reference")}


def test_shapes_that_auto_sends_to_the_kernels(benchmark: BenchmarkFixture) -> None:
    ratios = {}
    for shape in random_shapes(SHAPES):
        raced = contestants(*shape)
        times = {name: median(seconds) for name, seconds in turns(raced, ROUNDS).items()}
        ratios["{} {} x {} -> {} at {} x {}".format(*shape)] = times["reference"] / times["native"]
        print(list(ratios)[-1], f"{times['native'] * 1e3:.2f} ms, {list(ratios.values())[-1]:.2f}")
    benchmark.extra_info["ratios of medians"] = {shape: round(ratio, 2) for shape, ratio in ratios.items()}
    benchmark.extra_info["slower than the reference"] = sorted(shape for shape, ratio in ratios.items() if ratio < 1)
    benchmark.pedantic(raced["native"], rounds=ROUNDS)
    print(f"median {median(ratios.values()):.2f}, slower: {benchmark.extra_info['slower than the reference']}")
