"""The fused blocks at DCGAN-64's layers, native against eager PyTorch in NCHW and in channels_last, interleaved.

Rates count the multiply-adds of the whole kernel, as everybody does; the native one leaves out those with the padding,
so it can exceed the peak. The peak is that of multiply-adds in registers, measured in the same run.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from benchmarks.timing import interleaved
from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU
from ganzoo.ops import native, use_backend

ROUNDS = 9
LAYERS = [("up", 512, 256, 4), ("up", 256, 128, 8), ("up", 128, 64, 16)]
LAYERS += [("down", 64, 128, 32), ("down", 128, 256, 16), ("down", 256, 512, 8)]
pytestmark = pytest.mark.skipif(native.unavailable() is not None, reason=f"no native kernels: {native.unavailable()}")


def peak() -> float:
    """Operations a second of multiply-adds in registers on all threads, the best of three."""
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        done = native.fma_operations(5_000_000)
        best = max(best, done / (time.perf_counter() - start))
    return best


def contestants(
    network: nn.Module, x: Tensor, run: Callable[[nn.Module, Tensor], None]
) -> dict[str, Callable[[], None]]:
    """`run` with the native kernels, and with eager PyTorch in both memory formats."""

    def with_backend(name: str, format: torch.memory_format) -> Callable[[], None]:
        its = copy.deepcopy(network).to(memory_format=format)
        given = x.contiguous(memory_format=format).requires_grad_(x.requires_grad)

        def call() -> None:
            with use_backend(name):
                run(its, given)

        return call

    return {
        "native": with_backend("native", torch.channels_last),
        "eager channels_last": with_backend("reference", torch.channels_last),
        "eager NCHW": with_backend("reference", torch.contiguous_format),
    }


def record(benchmark: BenchmarkFixture, times: dict[str, float], operations: float) -> None:
    limit = peak()
    for name, seconds in times.items():
        benchmark.extra_info[name] = f"{seconds * 1e3:.1f} ms, {operations / seconds / 1e9:.0f} GF/s"
        if name != "native":
            benchmark.extra_info[f"against {name}"] = round(seconds / times["native"], 2)
    benchmark.extra_info["share of the peak"] = round(operations / times["native"] / limit, 2)
    benchmark.extra_info["peak"] = f"{limit / 1e9:.0f} GF/s, {native.instruction_set()}"


@pytest.mark.parametrize("what", ["inference", "forward", "forward and backward"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_layer(benchmark: BenchmarkFixture, layer: tuple[str, int, int, int], what: str) -> None:
    kind, cin, cout, size = layer
    block = (ConvTransposeBNReLU if kind == "up" else ConvBNLeakyReLU)(cin, cout).train(what != "inference")
    x = torch.randn(128, cin, size, size, requires_grad=what == "forward and backward")
    operations = 2.0 * 128 * cin * cout * 16 * (size if kind == "up" else size // 2) ** 2

    def run(network: nn.Module, x: Tensor) -> None:
        if what == "forward and backward":
            out = network(x)
            torch.autograd.grad(out, [x, *network.parameters()], out.detach())
        else:
            with torch.no_grad():
                network(x)

    racing = contestants(block, x, run)
    times = interleaved(racing, ROUNDS)
    record(benchmark, times, operations * (3 if what == "forward and backward" else 1))
    benchmark.pedantic(racing["native"], rounds=3)
    print(f"\n{layer} {what}: {benchmark.extra_info}")


@pytest.mark.parametrize("batch", [1, 64])
def test_a_generator(benchmark: BenchmarkFixture, batch: int) -> None:
    generator = nn.Sequential(
        ConvTransposeBNReLU(100, 512, 4, 1, 0),
        *(ConvTransposeBNReLU(deep, deep // 2) for deep in (512, 256, 128)),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    ).eval()

    def run(network: nn.Module, x: Tensor) -> None:
        with torch.no_grad():
            network(x)

    racing = contestants(generator, torch.randn(batch, 100, 1, 1), run)
    operations = 2.0 * batch * 16 * (100 * 512 + 512 * 256 * 16 + 256 * 128 * 64 + 128 * 64 * 256 + 64 * 3 * 1024)
    record(benchmark, interleaved(racing, ROUNDS), operations)
    benchmark.pedantic(racing["native"], rounds=3)
    print(f"\ngenerator, batch {batch}: {benchmark.extra_info}")
