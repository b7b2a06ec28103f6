"""The fused blocks on a GPU against float64, and training steps with them against steps without."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganzoo import ops
from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU, ConvTransposeTanh
from ganzoo.ops import NativeError
from ganzoo.training import loop
from tests.ops.conftest import random, shaken
from tests.ops.cuda_support import DEVICE, DTYPES, LIMITS, every_precision, near, needs_cuda, only_on_a_gpu, products
from tests.ops.test_blocks import plain
from tests.sessions import new_state, session

pytestmark = needs_cuda

BLOCKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "up": (lambda: ConvTransposeBNReLU(16, 24), (6, 16, 3, 4)),
    "first": (lambda: ConvTransposeBNReLU(16, 24, 4, 1, 0), (6, 16, 1, 1)),
    "down": (lambda: ConvBNLeakyReLU(16, 24), (6, 16, 7, 8)),
    "plain": (lambda: ConvBNLeakyReLU(3, 24, norm=False), (6, 3, 7, 8)),
    "few channels": (lambda: ConvBNLeakyReLU(3, 48, norm=False), (6, 3, 7, 8)),
    "image": (lambda: nn.Sequential(ConvTransposeTanh(32, 3)), (6, 32, 3, 4)),
}
every_block = pytest.mark.parametrize("kind", BLOCKS)


def make(kind: str, training: bool) -> tuple[nn.Sequential, nn.Sequential, Tensor]:
    """A block on the device, the same in float64 on the CPU, and an input."""
    build, shape = BLOCKS[kind]
    block = shaken(build()).train(training)
    assert isinstance(block, nn.Sequential)
    exact = plain(block)
    x = random(torch.Generator().manual_seed(3), *shape).to(torch.bfloat16).float()
    return block.to(DEVICE, memory_format=torch.channels_last), exact, x  # type: ignore[call-overload]


def gradients(block: nn.Sequential, x: Tensor, precision: str | None) -> list[Tensor]:
    x = x.clone().requires_grad_()
    dtype = DTYPES[precision or "fp32"]
    autocast = torch.autocast(DEVICE, dtype) if dtype != torch.float32 else contextlib.nullcontext()
    with autocast:
        out = block(x)
    # created on the device: a graph capture allows no copies from the CPU
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64, device=out.device).view(out.shape).to(out)
    return [out, *torch.autograd.grad((out * weights).sum(), [x, *block.parameters()])]


@every_block
@every_precision
@pytest.mark.parametrize("training", [True, False])
def test_the_blocks(kind: str, precision: str, training: bool) -> None:
    block, exact, x = make(kind, training)
    with ops.use_backend("native"), products(precision):
        actual = gradients(block, x.to(DEVICE), precision)
        assert actual[0].dtype == DTYPES[precision]
        with torch.no_grad():
            out = block.eval()(x.to(DEVICE, DTYPES[precision]))
            rounded = copy.deepcopy(block).to(DTYPES[precision])(x.to(DEVICE, DTYPES[precision]))
    for tensor, expected in zip(actual, gradients(exact, x.double(), None)):
        near(tensor, expected, 10 * LIMITS[precision])
    for name, tensor in exact.state_dict().items():
        near(block.state_dict()[name], tensor, LIMITS[precision])
    near(out, exact.eval()(x.double()), 2 * LIMITS[precision])
    near(rounded, exact(x.double()), 3 * LIMITS[precision])


@every_block
def test_second_derivatives(kind: str) -> None:
    block, exact, x = make(kind, True)

    def second(network: nn.Module, x: Tensor) -> tuple[Tensor | None, ...]:
        x = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(network(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), [x, *network.parameters()], allow_unused=True)

    with ops.use_backend("native"), products("fp32"):
        actual = second(block, x.to(DEVICE))
    for tensor, expected in zip(actual, second(exact, x.double())):
        assert (tensor is None) == (expected is None)
        if tensor is not None and expected is not None:
            near(tensor, expected, 1e-3)


def test_native_says_why_it_cannot() -> None:
    block, _, x = make("up", True)
    x = x.to(DEVICE)
    with ops.use_backend("native"):
        with pytest.raises(NativeError, match="they are for float32, float16, bfloat16"):
            block(x.double())
        with pytest.raises(NativeError, match="the tensors are on different devices, "):
            ops.conv_leaky_relu(x, torch.empty(4, 16, 4, 4, device="meta"), None)
        with pytest.raises(NativeError, match="the batch norm is not in float32"):
            block.to(torch.bfloat16)(x.to(torch.bfloat16))


@only_on_a_gpu
@every_block
def test_a_captured_graph_computes_the_same(kind: str) -> None:
    block, _, x = make(kind, True)
    x = x.to(DEVICE)
    with ops.use_backend("native"):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            gradients(block, x, "bf16")
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            captured = gradients(block, x, "bf16")
        for tensor in captured:
            tensor.fill_(float("nan"))
        graph.replay()
        for tensor, expected in zip(captured, gradients(block, x, "bf16")):
            assert torch.equal(tensor, expected)


@pytest.mark.parametrize("penalty", ["none", "gradient"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_training_steps_are_those_of_the_reference(precision: str, penalty: str) -> None:
    losses = []
    settings = {"batch_size": 8, "width": 8, "image_size": 16, "penalty": penalty}
    prepared = session("dcgan", "digits", settings, device=DEVICE, precision=precision)
    for backend in ("reference", "native"):
        state, batches = new_state(prepared), prepared.make_batches()
        with ops.use_backend(backend), products("fp32"):
            for _ in range(3):
                signals = loop.train_step(state, batches)
                state.step += 1
        losses.append(torch.stack(list(signals.values())).float().cpu())
    assert torch.isfinite(losses[1]).all()
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-3 if precision == "fp32" else 0.02, atol=1e-4)


@every_block
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_torch_compile_has_no_graph_break(kind: str, precision: str) -> None:
    block, _, x = make(kind, True)
    with ops.use_backend("native"), products("fp32"):
        expected = gradients(block, x.to(DEVICE), precision)
        compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
        for actual, tensor in zip(gradients(compiled, x.to(DEVICE), precision), expected):
            near(actual, tensor, LIMITS[precision])  # torch.compile may call cuBLAS for the transposed product
    torch.compiler.reset()
