"""Races of small blocks: peers that are left out, with the reason, and wrong results, which are not timed."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import pytest
import torch
from ganzoo_benchmarks import cases, peers, steps
from ganzoo_benchmarks.cases import CASES, Case, block, chosen, difference, race
from ganzoo_benchmarks.networks import seeded
from ganzoo_benchmarks.peers import CHANNELS_LAST, COMPILE, NATIVE, NATIVE_FLOAT32, REFERENCE
from torch import Tensor

from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.nn import ConvTransposeBNReLU
from ganzoo.ops import NativeError, cpu_library
from tests.ops.conftest import needs_native

ENGINES = {"ONNX Runtime": ("onnx", "onnxruntime"), "OpenVINO": ("onnx", "openvino")}


def without(case: Case, *names: str) -> Case:
    """`case` without some contestants, such as torch.compile, which is slow."""
    return replace(case, builders=lambda: {n: b for n, b in case.builders().items() if n not in names})


def with_peer(case: Case, name: str, result: object) -> Case:
    """`case` with a contestant added or replaced, which raises or returns `result`."""

    def call() -> tuple[Tensor, ...]:
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, tuple)
        return result

    return replace(case, builders=lambda: case.builders() | {name: lambda: call})


@needs_native
@pytest.mark.parametrize(("what", "passes"), [("inference", 1), ("forward", 1), ("backward", 3)])
@pytest.mark.parametrize(("kind", "channels", "size"), [("up", 64, 4), ("down", 32, 8)])
def test_a_small_block(kind: str, channels: int, size: int, what: peers.Pass, passes: int) -> None:
    result = race(without(block(kind, channels, size, what, batch=2), COMPILE, *ENGINES), rounds=2)
    assert list(result.seconds) == [NATIVE, REFERENCE, CHANNELS_LAST]
    assert result.left_out == {}
    # 16 products for each pair of channels and pixel of the smaller image, a product and a sum being two operations
    out, pixels = (channels // 2, size**2) if kind == "up" else (channels * 2, size**2 // 4)
    assert result.operations == passes * 2.0 * 2 * channels * out * 16 * pixels
    assert result.ratio(NATIVE) == 1
    assert all(seconds > 0 for seconds in result.seconds.values())
    assert result.rate(NATIVE) < result.peak


@needs_native
@pytest.mark.parametrize(
    ("kind", "products"), [("same", 9 * 16), ("upsample", 9 * 64), ("downsample", 9 * 16), ("patch", 2 * 16 * 9)]
)
def test_a_small_block_of_a_residual_network(kind: str, products: int) -> None:
    result = race(without(block(kind, 32, 4, "backward", batch=2), COMPILE, *ENGINES), rounds=1)
    assert list(result.seconds) == [NATIVE, REFERENCE, CHANNELS_LAST]
    assert result.operations == 3 * 2.0 * 2 * 32 * 32 * products


@needs_native
@pytest.mark.parametrize("engine", ENGINES)
def test_an_inference_engine(engine: str) -> None:
    for package in ENGINES[engine]:
        pytest.importorskip(package)
    result = race(without(block("up", 64, 4, "inference", batch=2), COMPILE), rounds=1)
    assert engine in result.seconds


@needs_native
@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_extra_is_named(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ENGINES[engine]:
        monkeypatch.setitem(sys.modules, package, None)
    result = race(without(block("up", 64, 4, "inference", batch=2), COMPILE), rounds=1)
    assert engine not in result.seconds
    assert result.left_out[engine] == f"{ENGINES[engine][1]} is not installed: pip install 'ganzoo-core[bench]'"


@needs_native
def test_a_peer_with_a_wrong_result_is_not_timed() -> None:
    small = without(block("up", 64, 4, "inference", batch=2), COMPILE, *ENGINES)
    (expected,) = small.builders()[REFERENCE]()()
    for wrong in (expected.bfloat16().float(), expected.nan_to_num() * math.nan, expected[:1]):
        result = race(with_peer(small, "cheat", (wrong,)), rounds=1)
        assert "cheat" not in result.seconds
        assert "(relative) from that of eager NCHW" in result.left_out["cheat"]
    with pytest.raises(GanzooError, match=r"up64\.inference: native: its result is"):
        race(with_peer(small, NATIVE, (expected + 1,)), rounds=1)


@needs_native
def test_a_peer_that_fails_is_reported_in_one_line() -> None:
    small = without(block("up", 64, 4, "inference", batch=2), COMPILE, *ENGINES)
    result = race(with_peer(small, "broken", RuntimeError("no C++ compiler\nand a long story")), rounds=1)
    assert result.left_out == {"broken": "RuntimeError: no C++ compiler"}


@needs_native
def test_scripts_and_ours_take_the_same_training_step() -> None:
    builders = steps.contestants(4)
    losses = {}
    for name in (NATIVE, REFERENCE, CHANNELS_LAST):
        step = builders[name]()
        losses[name] = [step(), step()]
    for name in (NATIVE, CHANNELS_LAST):
        first, second = (difference(a, b) for a, b in zip(losses[name], losses[REFERENCE]))
        assert first < cases.TOLERANCE
        assert second < 0.05  # after an update of every weight, in which rounding may flip a few signs
    assert difference(*losses[NATIVE]) > 0.01  # a step changes the losses


@needs_native
@pytest.mark.slow
@pytest.mark.parametrize("what", ["inference", "forward", "backward"])
def test_torch_compile(what: peers.Pass) -> None:
    result = race(without(block("down", 32, 8, what, batch=2), *ENGINES), rounds=1)
    assert COMPILE in result.seconds, result.left_out


def test_without_kernels_there_is_no_race(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_library, "unavailable_reason", lambda: "there is no C++ compiler")
    with pytest.raises(NativeError, match="no native kernels to compare here: there is no C\\+\\+ compiler"):
        race(CASES["up512.inference"], 1)


def test_cases_are_chosen_by_pattern() -> None:
    assert [case.name for case in chosen(["up512.*"])] == ["up512.inference", "up512.forward", "up512.backward"]
    assert chosen([]) == [c for c in CASES.values() if not c.bfloat16 or cpu_library.has_bfloat16()]
    assert chosen(["generator.1", "generator.*"]) == [CASES["generator.64"], CASES["generator.1"]]
    with pytest.raises(UsageError, match=r"Unknown case 'up51\.inference'. Did you mean up512\.inference"):
        chosen(["up51.inference"])


def bfloat16_case() -> Case:
    network = seeded(lambda: ConvTransposeBNReLU(64, 32))[0]
    case = Case("up64", "", 13, lambda: peers.bfloat16_contestants(network, torch.ones(13, 64, 4, 4)), bfloat16=True)
    return without(case, COMPILE, "OpenVINO")


@pytest.mark.skipif(not cpu_library.has_bfloat16(), reason="the processor has no products of bfloat16")
def test_a_case_in_bfloat16() -> None:
    result = race(bfloat16_case(), rounds=1)
    assert list(result.seconds) == [NATIVE, NATIVE_FLOAT32, REFERENCE, CHANNELS_LAST]
    assert result.left_out == {}


@needs_native
def test_a_case_in_bfloat16_without_products_of_it() -> None:
    cpu_library.choose_instruction_set("generic")
    try:
        assert not any(case.bfloat16 for case in chosen([]))
        with pytest.raises(NativeError, match="up64 is for processors with products of bfloat16"):
            race(bfloat16_case(), rounds=1)
    finally:
        cpu_library.choose_instruction_set(None)


def test_operations_of_a_gradient_penalty_are_counted() -> None:
    weight, x = torch.ones(3, 5, requires_grad=True), torch.ones(2, 5, requires_grad=True)
    with cases.OperationCounter() as counter:
        (gradient,) = torch.autograd.grad(torch.nn.functional.linear(x, weight).square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
    assert counter.total == 2 * 2 * 3 * 5 * 6  # y; dx; of the penalty: dW by dx, dy by dx, then dW and dx by dy


def test_difference() -> None:
    one = torch.ones(4)
    assert difference((one, one), (one, one)) == 0
    assert difference((one, one * 1.5), (one, one)) == pytest.approx(0.5)
    assert difference((one,), (one, one)) == math.inf
    assert difference((one / 0,), (one,)) == math.inf
