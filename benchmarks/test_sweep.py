"""Shapes that `auto` sends to the native kernels, drawn at random: none may be slower than the reference."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

import pytest
import torch

from ganzoo.benchmark.timing import turns
from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU
from ganzoo.ops import native, use_backend
from ganzoo.ops.blocks import _pays

SHAPES, ROUNDS = 40, 7
NOISE = 1.05
"""How much slower the best turn may be on a machine whose single figures swing by a quarter."""
pytestmark = pytest.mark.skipif(native.unavailable() is not None, reason=f"no native kernels: {native.unavailable()}")


def drawn(count: int) -> list[tuple[str, int, int, int, int, int]]:
    """(kind, batch, input channels, output channels, height, width), all such that `auto` goes native."""
    rng, found = random.Random(0), []
    while len(found) < count:
        kind, batch = rng.choice(["up", "down"]), rng.choice([1, 2, 5, 16, 32, 64, 100, 128])
        cin, cout = rng.choice([32, 48, 64, 100, 128, 200, 256, 512]), rng.choice([32, 64, 96, 128, 256, 500])
        h, w = rng.randint(2, 32), rng.randint(2, 32)
        work = batch * cin * cout * h * w * (16 if kind == "up" else 4)
        weight = torch.empty((cin, cout, 4, 4) if kind == "up" else (cout, cin, 4, 4), device="meta")
        if work < 1 << 33 and _pays(kind, torch.empty(batch, cin, h, w, device="meta"), weight):
            found.append((kind, batch, cin, cout, h, w))
    return found


def contestants(kind: str, batch: int, cin: int, cout: int, h: int, w: int) -> dict[str, Callable[[], None]]:
    """Forward and backward in channels_last, by the kernels and by the reference."""
    block = (ConvTransposeBNReLU if kind == "up" else ConvBNLeakyReLU)(cin, cout)
    block.to(memory_format=torch.channels_last)
    x = torch.randn(batch, cin, h, w).contiguous(memory_format=torch.channels_last).requires_grad_()

    def step(backend: str) -> None:
        with use_backend(backend):
            y = block(x)
        y.backward(y.detach())

    return {name: functools.partial(step, name) for name in ("native", "reference")}


def test_no_shape_is_slower_than_the_reference() -> None:
    slower = []
    for shape in drawn(SHAPES):
        times = {name: min(taken) for name, taken in turns(contestants(*shape), ROUNDS).items()}
        ratio = times["reference"] / times["native"]
        print("{} {} x {} -> {} at {} x {}:".format(*shape), f"{times['native'] * 1e3:.2f} ms, {ratio:.2f}")
        if ratio * NOISE < 1:
            slower.append((shape, round(ratio, 2)))
    assert not slower
