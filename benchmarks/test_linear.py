"""A fully connected layer, forward and backward, batch 64: ganzoo.ops.linear against torch.nn.functional.linear."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ganzoo_benchmarks.timing import interleaved
from pytest_benchmark.fixture import BenchmarkFixture

from ganzoo.ops import linear


@pytest.mark.parametrize("shape", [(64, 1024, 784), (128, 784, 512), (64, 512, 1024), (64, 256, 512)], ids=str)
def test_linear_forward_and_backward(benchmark: BenchmarkFixture, shape: tuple[int, int, int]) -> None:
    batch, inputs, outputs = shape
    x, weight = torch.randn(batch, inputs, requires_grad=True), torch.randn(outputs, inputs, requires_grad=True)
    bias, grad = torch.randn(outputs, requires_grad=True), torch.randn(batch, outputs)

    def ours() -> None:
        torch.autograd.grad(linear(x, weight, bias), (x, weight, bias), grad)

    def reference() -> None:
        torch.autograd.grad(F.linear(x, weight, bias), (x, weight, bias), grad)

    times = interleaved({"reference": reference, "ganzoo": ours}, rounds=20, calls=20)
    benchmark.extra_info["ratio of medians"] = round(times["reference"] / times["ganzoo"], 2)
    benchmark.pedantic(ours, rounds=20, iterations=20)
    print(f"\n{shape}: {benchmark.extra_info}")
