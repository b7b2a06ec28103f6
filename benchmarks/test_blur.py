"""StyleGAN's filter on feature maps in channels_last, forward and backward: ganzoo.ops.blur against the reference."""

from __future__ import annotations

import pytest
import torch
from ganzoo_benchmarks.timing import interleaved
from pytest_benchmark.fixture import BenchmarkFixture

from ganzoo.ops import blur


@pytest.mark.parametrize("shape", [(32, 16, 32, 32), (32, 64, 8, 8), (32, 128, 32, 32)], ids=str)
@pytest.mark.parametrize("padding", [1, 2])
def test_blur_forward_and_backward(benchmark: BenchmarkFixture, shape: tuple[int, ...], padding: int) -> None:
    x = torch.randn(shape).to(memory_format=torch.channels_last).requires_grad_()  # type: ignore[call-overload]
    grad = torch.ones_like(blur(x, padding))

    def ours() -> None:
        torch.autograd.grad(blur(x, padding), x, grad)

    def reference() -> None:
        torch.autograd.grad(blur(x, padding, backend="reference"), x, grad)

    times = interleaved({"reference": reference, "ganzoo": ours}, rounds=20, calls=5)
    benchmark.extra_info["ratio of medians"] = round(times["reference"] / times["ganzoo"], 2)
    benchmark.pedantic(ours, rounds=20, iterations=5)
    print(f"\n{shape}, padding {padding}: {benchmark.extra_info}")
