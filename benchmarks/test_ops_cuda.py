"""The fused blocks and whole training steps on a GPU, bf16 and channels_last: the CUDA kernels against PyTorch.

Contestants take turns. Eager runs with cuDNN's autotuner on; "graph" is the same captured in a CUDA graph; "compiled"
is torch.compile(mode="max-autotune-no-cudagraphs"); "folded" has the batch norm in the weights. In a training step the
native contestant is what `auto` chooses.
Compilation takes minutes: compiled contestants that would start after GANZOO_BENCHMARK_UNTIL (seconds since the epoch)
are left out, and the record says so. Training steps are those of `ganzoo.train`, deterministic for every contestant.
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ganzoo.core import config as configs
from ganzoo.core import registry
from ganzoo.data import ImageData
from ganzoo.gan import build
from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU
from ganzoo.ops import cpu_library, cuda_library, use_backend
from ganzoo.training import cuda_graph as graph
from ganzoo.training import loop
from ganzoo.training.batches import Batches
from ganzoo.training.state import TrainingState

DEVICE = "cuda"
ROUNDS, SHORTEST = 7, 0.02  # of each contestant; seconds of one round
LAYERS = [("up", 512, 256, 4), ("up", 256, 128, 8), ("up", 128, 64, 16)]
LAYERS += [("down", 64, 128, 32), ("down", 128, 256, 16), ("down", 256, 512, 8)]
UNTIL = float(os.environ.get("GANZOO_BENCHMARK_UNTIL", "inf"))


def missing() -> str | None:
    if not torch.cuda.is_available():
        return "there is no GPU"
    return cpu_library.unavailable_reason() or cuda_library.unavailable_reason()


pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no CUDA kernels: {missing()}")
Call = Callable[[], Any]


@dataclass(frozen=True)
class Step:
    """A training step of an architecture on colour images."""

    name: str
    size: int
    batch: int
    settings: dict[str, Any] = field(default_factory=dict)


DCGAN = Step("dcgan", 64, 128)
STEPS = [Step("sngan", 32, 64), Step("r3gan", 32, 64), Step("sagan", 32, 64), Step("stylegan2", 32, 32)]
Makers = dict[str, Callable[[], Call]]


def seconds(call: Call, calls: int) -> float:
    """Mean seconds of `calls` calls in a row, by the clock of the GPU."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(calls):
        call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3 / calls


def race(makers: Makers) -> tuple[dict[str, float], dict[str, str]]:
    """Median seconds of a call of each contestant, taking turns, and the reasons why others were left out."""
    calls: dict[str, Call] = {}
    reasons: dict[str, str] = {}
    for name, make in makers.items():
        if time.time() > UNTIL and "compiled" in name:
            reasons[name] = "not measured: out of time"
            continue
        try:
            call = make()
            for _ in range(3):
                call()
            calls[name] = call
        except Exception as failure:  # a contestant that fails must not hide the others
            reasons[name] = f"failed: {type(failure).__name__}: {str(failure).splitlines()[0][:120]}"
    counts = {name: max(1, int(SHORTEST / max(seconds(call, 3), 1e-6))) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times[name].append(seconds(call, counts[name]))
    return {name: statistics.median(turns) for name, turns in times.items()}, reasons


def captured(call: Call) -> Call:
    """`call` as a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded, stream=stream):
        call()
    return recorded.replay


def contestants(network: nn.Module, plain: nn.Module, run: Callable[[nn.Module], Any]) -> Makers:
    """Makers of `run` by the kernels, on a copy of `network`, and by PyTorch, on a copy of `plain`."""

    def eager(backend: str) -> Call:
        module = copy.deepcopy(network if backend == "native" else plain)

        def call() -> None:
            with use_backend(backend), torch.autocast(DEVICE, torch.bfloat16):
                run(module)

        return call

    def compiled() -> Call:
        fast = torch.compile(copy.deepcopy(plain), mode="max-autotune-no-cudagraphs", dynamic=False)

        def call() -> None:
            with use_backend("reference"), torch.autocast(DEVICE, torch.bfloat16):
                run(fast)

        return call

    torch.backends.cudnn.benchmark = True
    return {
        "native": lambda: eager("native"),
        "native graph": lambda: captured(eager("native")),
        "eager": lambda: eager("reference"),
        "eager graph": lambda: captured(eager("reference")),
        "compiled graph": lambda: captured(compiled()),
    }


def record(benchmark: BenchmarkFixture, makers: Makers, operations: float, images: int) -> None:
    """Race the contestants into the benchmark's extra_info, and time the kernels; fails if they did not run."""
    times, reasons = race(makers)
    for name, median in times.items():
        speed = f"{operations / median / 1e12:.0f} TFLOP/s" if operations else f"{images / median:,.0f} images/s"
        benchmark.extra_info[name] = f"{median * 1e6:,.0f} us, {speed}"
    benchmark.extra_info |= reasons
    ours = min((t for name, t in times.items() if "native" in name), default=float("nan"))
    others = {name: t for name, t in times.items() if "native" not in name}
    if others:
        best = min(others, key=lambda name: others[name])
        benchmark.extra_info["best native against the best other"] = f"{others[best] / ours:.2f} ({best})"
    print(f"\n{benchmark.extra_info}")
    assert not any("native" in name for name in reasons), reasons
    native = next(make for name, make in makers.items() if "native" in name)()

    def call() -> None:
        native()
        torch.cuda.synchronize()

    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=3)


@pytest.mark.parametrize("batch", [128, 1024])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_layer_both_ways(benchmark: BenchmarkFixture, layer: tuple[str, int, int, int], batch: int) -> None:
    kind, cin, cout, size = layer
    block = (ConvTransposeBNReLU if kind == "up" else ConvBNLeakyReLU)(cin, cout)
    block = block.to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(batch, cin, size, size, device=DEVICE, dtype=torch.bfloat16)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    out_size = 2 * size if kind == "up" else size // 2
    weights = torch.randn(batch, cout, out_size, out_size, device=DEVICE, dtype=torch.bfloat16)
    weights = weights.contiguous(memory_format=torch.channels_last)

    def run(network: nn.Module) -> None:
        torch.autograd.grad(network(x), [x, *network.parameters()], weights)

    operations = 3 * 2.0 * batch * cin * cout * 16 * min(size, out_size) ** 2
    record(benchmark, contestants(block, block, run), operations, batch)


@pytest.mark.parametrize("batch", [64, 1024])
def test_inference_of_a_generator(benchmark: BenchmarkFixture, batch: int) -> None:
    generator = nn.Sequential(
        ConvTransposeBNReLU(100, 512, 4, 1, 0),
        *(ConvTransposeBNReLU(deep, deep // 2) for deep in (512, 256, 128)),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    generator = generator.eval().to(DEVICE, torch.bfloat16, memory_format=torch.channels_last)  # type: ignore
    x = torch.randn(batch, 100, 1, 1, device=DEVICE, dtype=torch.bfloat16)

    def run(network: nn.Module) -> None:
        with torch.no_grad():
            network(x)

    folded = nn.Sequential(*(fold(part) for part in generator))
    makers = contestants(generator, generator, run)
    for name, maker in contestants(generator, folded, run).items():
        if "native" not in name:
            makers[f"{name}, folded"] = maker
    record(benchmark, makers, 0, batch)


def fold(part: nn.Module) -> nn.Module:
    """A block with its batch norm folded into the weights by PyTorch; other modules unchanged."""
    if not isinstance(part, ConvTransposeBNReLU):
        return part
    conv, norm, act = part
    assert isinstance(conv, nn.ConvTranspose2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return nn.Sequential(fuse_conv_bn_eval(conv, norm, transpose=True), act)


def training(backend: str, graphed: bool, compile: bool = False, step: Step = DCGAN) -> Call:
    """A whole training step on random colour images in GPU memory."""
    entry = registry.get_architecture(step.name)
    config = configs.make(entry.card.Config, {"batch_size": step.batch, **step.settings})
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4096, 3, step.size, step.size), np.uint8)
    labels, classes = (rng.integers(0, 10, 4096), tuple("0123456789")) if entry.card.conditional else (None, ())
    data = ImageData(pixels, labels, classes, "random", "train", "0" * 64)
    # the compiler chooses layouts itself, and torch 2.11 fails on those of channels_last weights
    layout = torch.contiguous_format if compile else torch.channels_last
    gan = build(entry, config, data.spec).to(DEVICE, memory_format=layout)  # type: ignore[call-overload]
    if compile:
        gan.generator.compile(mode="max-autotune-no-cudagraphs", dynamic=False)
        gan.discriminator.compile(mode="max-autotune-no-cudagraphs", dynamic=False)
    state = TrainingState(gan.train(), 0, "bf16")
    batches = Batches(data, step.batch, 0, state.device)
    with use_backend(backend):
        one_step = graph.stepper(state, batches, loop.compute_step, graphed, print)

    def call() -> None:
        with use_backend(backend):
            one_step()
        loop.update_ema(state)
        state.step += 1

    return call


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Deterministic algorithms, as in `ganzoo.train`: a graph that does not repeat the bits of its step is refused."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
def test_a_training_step(benchmark: BenchmarkFixture) -> None:
    torch.backends.cudnn.benchmark = True
    makers: Makers = {
        "native graph": lambda: training("auto", True),
        "eager": lambda: training("reference", False),
        "eager graph": lambda: training("reference", True),
        "compiled graph": lambda: training("reference", True, compile=True),
    }
    record(benchmark, makers, 0, 128)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_step_of_the_zoo(benchmark: BenchmarkFixture, step: Step) -> None:
    torch.backends.cudnn.benchmark = True
    torch.compiler.reset()
    makers: Makers = {
        "eager": lambda: training("reference", False, step=step),
        "graph": lambda: training("reference", True, step=step),
        "compiled": lambda: training("reference", False, compile=True, step=step),
        "compiled graph": lambda: training("reference", True, compile=True, step=step),
    }
    times, reasons = race(makers)
    for name, median in times.items():
        ratio = f"{times['eager'] / median:.2f} x eager"
        benchmark.extra_info[name] = f"{median * 1e6:,.0f} us, {step.batch / median:,.0f} images/s, {ratio}"
    benchmark.extra_info |= reasons
    print(f"\n{benchmark.extra_info}")
    step_once = makers["graph" if "graph" in times else "eager"]()

    def call() -> None:
        step_once()
        torch.cuda.synchronize()

    benchmark.pedantic(call, rounds=ROUNDS, warmup_rounds=3)
