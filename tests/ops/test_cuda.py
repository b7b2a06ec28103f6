"""The CUDA kernels against float64, through the operations and the blocks, in every precision.

They need a GPU, or an emulated one: `make cuda-emulate` compiles the kernels for the CPU and runs this file with
GANZOO_EMULATED_CUDA naming them, on smaller examples.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ganzoo import ops
from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU
from ganzoo.ops import cuda, native
from ganzoo.training import loop, plan
from ganzoo.training.batches import Batches
from ganzoo.training.state import TrainingState

from .conftest import LAYOUTS, random, shaken
from .test_blocks import plain

EMULATED = os.environ.get("GANZOO_EMULATED_CUDA")
DEVICE = "cpu" if EMULATED else "cuda"


def missing() -> str | None:
    """Why nothing in here can run; loads the emulated kernels over the CPU's where they are asked for."""
    if native.unavailable() is not None:
        return native.unavailable()
    if EMULATED:
        torch.ops.load_library(EMULATED)
        cuda.KIND, cuda._loaded = "cpu", cuda.Loaded(ctypes.CDLL(EMULATED), None, "emulated")
        return None
    if not torch.cuda.is_available():
        return "there is no GPU"
    return cuda.unavailable()


REASON = missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no CUDA kernels: {REASON}")
kernels = torch.ops.ganzoo
only_on_a_gpu = pytest.mark.skipif(EMULATED is not None, reason="the emulator has no streams, graphs or second device")

LIMITS = {"fp32": 2e-5, "tf32": 1e-3, "fp16": 1.5e-3, "bf16": 1e-2}
"""Of ||found - exact|| / ||exact||, exact being float64 on the same numbers."""
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
every_precision = pytest.mark.parametrize("precision", LIMITS)


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """float32 multiplied as this precision says."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        cuda.unavailable()  # tells the kernels
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def near(found: Tensor, exact: Tensor, limit: float, size: Tensor | None = None) -> None:
    """||found - exact|| <= limit ||size||; `size`, else `exact`, is how large the sums are that were rounded."""
    assert found.shape == exact.shape
    found, exact = found.detach().double().cpu(), exact.detach().double().cpu()
    size = exact if size is None else size.detach().double().cpu()
    assert (found - exact).norm() <= limit * size.norm() + 1e-6, f"{float((found - exact).norm() / size.norm()):.2e}"


shapes = st.tuples(
    st.sampled_from([1, 2, 5, 130]),  # images: a tile of few pixels, and of one
    st.sampled_from([1, 8, 19, 72]), st.sampled_from([1, 3, 16, 136]),  # channels: whole chunks of 16 bytes, and not
    st.integers(1, 4), st.integers(1, 5), st.integers(0, 1), st.integers(0, 1),  # h, w, H - 2h, W - 2w
).filter(lambda s: not EMULATED or s[0] * s[1] * s[2] * s[3] * s[4] < 4000)  # fmt: skip


@every_precision
@settings(max_examples=5 if EMULATED else 60)
@given(shape=shapes, layout=st.sampled_from(LAYOUTS), seed=st.integers(0, 9), own=st.booleans())
def test_the_products(precision: str, shape: tuple[int, ...], layout: str, seed: int, own: bool) -> None:
    n, cs, cb, h, w, more_h, more_w = shape
    rng, dtype, limit = torch.Generator().manual_seed(seed), DTYPES[precision], LIMITS[precision]
    height, width = 2 * h + more_h, 2 * w + more_w

    def make(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return random(rng, *shape, layout=layout if len(shape) == 4 else "nchw").to(DEVICE, dtype)

    small, big = make(n, cs, h, w), make(n, cb, height, width)
    weight = make(cs, cb, 4, 4, dtype=dtype if own else torch.float32)
    scale, shift = make(cs, dtype=torch.float32), make(cs, dtype=torch.float32)
    operands = [t.double() for t in (small, big, weight)]
    (up, down, gradient), squares = in_float64(*operands), in_float64(*(t.square() for t in operands))
    up_size, down_size, gradient_size = (t.sqrt() for t in squares)  # of sums of as many random numbers
    with products(precision):
        near(kernels.up(small, weight, None, None, None, 1.0, height, width), up, limit, up_size)
        near(kernels.down(big, weight, None, None, None, 1.0), down, limit, down_size)
        near(kernels.weight_gradient(small, big), gradient, limit, gradient_size)
        activated = F.leaky_relu(down * scale.double()[:, None, None] + shift.double()[:, None, None], 0.2)
        activated_size = (down_size * scale[:, None, None]).abs() + shift[:, None, None].abs()
        near(kernels.down(big, weight, None, scale, shift, 0.2), activated, limit, activated_size)
        for found, y, size in (
            (kernels.up_statistics(small, weight, height, width), up, up_size),
            (kernels.down_statistics(big, weight), down, down_size),
        ):
            var, mean = torch.var_mean(y, (0, 2, 3), correction=0)
            near(found[0], y, limit, size)
            near(found[1], mean, limit, size.mean((0, 2, 3)))
            near(found[2], var, limit, 2 * size.square().mean((0, 2, 3)))


def in_float64(small: Tensor, big: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    more = (big.shape[2] % 2, big.shape[3] % 2)
    gradient = torch.nn.grad.conv2d_weight(big, weight.shape, small, 2, 1)
    return F.conv_transpose2d(small, weight, None, 2, 1, more), F.conv2d(big, weight, None, 2, 1), gradient


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@settings(max_examples=5 if EMULATED else 40)
@given(n=st.integers(1, 5), c=st.sampled_from([1, 5, 16, 70, 264]), h=st.integers(1, 12), affine=st.booleans(),
       slope=st.sampled_from([0.0, 0.2]), layout=st.sampled_from(LAYOUTS))  # fmt: skip
def test_normalisation(precision: str, n: int, c: int, h: int, affine: bool, slope: float, layout: str) -> None:
    rng, dtype, limit = torch.Generator().manual_seed(n), DTYPES[precision], 5 * LIMITS[precision]
    y, grad = (random(rng, n, c, h + 1, 3, layout=layout).to(DEVICE, dtype) for _ in range(2))
    gamma, beta = (random(rng, c).to(DEVICE), random(rng, c).to(DEVICE)) if affine else (None, None)
    exact = [y.double().requires_grad_()]
    exact += [t.double().requires_grad_() for t in (gamma, beta) if t is not None]
    out = F.leaky_relu(F.batch_norm(exact[0], None, None, *(exact[1:] or (None, None)), True, 0.0, 1e-5), slope)
    mean, var = kernels.channel_statistics(y)
    near(kernels.norm_act(y, mean, var, gamma, beta, 1e-5, slope), out, limit)
    gradients = torch.autograd.grad(out, exact, grad.double())
    for found, expected in zip(kernels.norm_act_backward(grad, y, mean, var, gamma, beta, 1e-5, slope), gradients):
        near(found, expected, limit)


BLOCKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "up": (lambda: ConvTransposeBNReLU(16, 24), (6, 16, 3, 4)),
    "first": (lambda: ConvTransposeBNReLU(16, 24, 4, 1, 0), (6, 16, 1, 1)),
    "down": (lambda: ConvBNLeakyReLU(16, 24), (6, 16, 7, 8)),
    "plain": (lambda: ConvBNLeakyReLU(3, 24, norm=False), (6, 3, 7, 8)),
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
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape).to(out)
    return [out, *torch.autograd.grad((out * weights).sum(), [x, *block.parameters()])]


@every_block
@every_precision
@pytest.mark.parametrize("training", [True, False])
def test_the_blocks(kind: str, precision: str, training: bool) -> None:
    block, exact, x = make(kind, training)
    with ops.use_backend("native"), products(precision):
        found = gradients(block, x.to(DEVICE), precision)
        assert found[0].dtype == DTYPES[precision]
        with torch.no_grad():
            out = block.eval()(x.to(DEVICE, DTYPES[precision]))
            rounded = copy.deepcopy(block).to(DTYPES[precision])(x.to(DEVICE, DTYPES[precision]))
    for tensor, expected in zip(found, gradients(exact, x.double(), None)):
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
        found = second(block, x.to(DEVICE))
    for tensor, expected in zip(found, second(exact, x.double())):
        assert (tensor is None) == (expected is None)
        if tensor is not None and expected is not None:
            near(tensor, expected, 1e-3)


def test_results_are_the_same_bits_every_time() -> None:
    rng = torch.Generator().manual_seed(0)
    small, weight = random(rng, 40, 72, 5, 3).to(DEVICE), random(rng, 72, 24, 4, 4).to(DEVICE)
    results = []
    for _ in range(2):
        y, mean, var = kernels.up_statistics(small, weight, 10, 6)
        out = kernels.norm_act(y, mean, var, None, None, 1e-5, 0.0)
        back = kernels.norm_act_backward(out, y, mean, var, None, None, 1e-5, 0.2)
        results.append([y, mean, var, out, *back, kernels.weight_gradient(small, y)])
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_images_that_do_not_start_at_a_multiple_of_16_bytes() -> None:
    images = torch.randn(3 * 4 * 4 * 8 + 1, dtype=torch.float32).to(DEVICE)[1:].view(3, 4, 4, 8).permute(0, 3, 1, 2)
    weight = torch.randn(16, 8, 4, 4).to(DEVICE)
    with products("fp32"):
        near(
            kernels.down(images, weight, None, None, None, 1.0),
            F.conv2d(images.double(), weight.double(), None, 2, 1),
            1e-5,
        )
        small = torch.randn(3, 16, 2, 2).to(DEVICE)
        exact = torch.nn.grad.conv2d_weight(images.double(), weight.shape, small.double(), 2, 1)
        near(kernels.weight_gradient(small, images), exact, 1e-5)


def test_an_empty_batch_is_empty() -> None:
    weight = torch.randn(3, 5, 4, 4, device=DEVICE)
    empty = {name: torch.empty(0, *shape, device=DEVICE) for name, shape in (("s", (3, 2, 2)), ("b", (5, 4, 4)))}
    assert kernels.up(empty["s"], weight, None, None, None, 1.0, 4, 4).shape == (0, 5, 4, 4)
    assert kernels.down(empty["b"], weight, None, None, None, 1.0).shape == (0, 3, 2, 2)
    assert not kernels.weight_gradient(empty["s"], empty["b"]).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["up", "down", "up_statistics", "down_statistics", "weight_gradient", "norm_act"])
def test_opcheck(name: str, dtype: torch.dtype) -> None:
    def tensor(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.randn(*shape).to(DEVICE, dtype).requires_grad_()

    small, big, weight, whole = (
        tensor(2, 3, 2, 3),
        tensor(2, 5, 4, 7),
        tensor(3, 5, 4, 4, dtype=torch.float32),
        torch.float32,
    )
    mean, var = torch.zeros(3, device=DEVICE), torch.rand(3).add(0.5).to(DEVICE)
    arguments = {
        "up": (small, weight, None, None, tensor(5, dtype=whole), 0.2, 4, 7),
        "down": (big, weight, None, None, tensor(3, dtype=whole), 1.0),
        "up_statistics": (small, weight, 4, 7),
        "down_statistics": (big, weight),
        "weight_gradient": (small, big),
        "norm_act": (small, mean, var, tensor(3, dtype=whole), tensor(3, dtype=whole), 1e-5, 0.2),
    }[name]
    torch.library.opcheck(getattr(kernels, name).default, arguments)


S, B, W, V = torch.zeros(2, 3, 2, 2), torch.zeros(2, 5, 4, 4), torch.zeros(3, 5, 4, 4), torch.zeros(3)
BAD: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "channels": ("up", (B, W, None, None, None, 1.0, 8, 8), "for 3 input channels, but there are 5"),
    "size": ("up", (S, W, None, None, None, 1.0, 6, 4), "is not twice"),
    "huge": ("up", (S, W, None, None, None, 1.0, 1 << 40, 4), "is not twice"),
    "dtype": ("up", (S.double(), W, None, None, None, 1.0, 4, 4), "must be float32, float16 or bfloat16"),
    "weight": ("down", (B, W.half(), None, None, None, 1.0), "must be float32 or of the input's dtype"),
    "kernel": ("down", (B, W[:, :, :3], None, None, None, 1.0), r"must be \[\*, \*, 4, 4\]"),
    "packed": ("down", (B, W, V, None, None, 1.0), "packed in the call"),
    "shift": ("down", (B, W, None, None, torch.zeros(4), 1.0), "must have 3 elements"),
    "empty": ("up_statistics", (S[:0], W, 4, 4), "empty batch"),
    "batches": ("weight_gradient", (S[:1], B), "of one batch"),
    "types": ("weight_gradient", (S, B.half()), "of the first tensor's dtype"),
    "mean": ("norm_act", (S, torch.zeros(2), V, None, None, 1e-5, 0.0), "must have 3 elements"),
    "grad": ("norm_act_backward", (B, S, V, V, None, None, 1e-5, 0.0), "the shape of y"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused(case: str) -> None:
    name, arguments, message = BAD[case]
    with pytest.raises(RuntimeError, match=message):
        getattr(kernels, name)(*(t.to(DEVICE) if isinstance(t, Tensor) else t for t in arguments))


def test_native_says_why_it_cannot() -> None:
    block, _, x = make("up", True)
    x = x.to(DEVICE)
    with ops.use_backend("native"):
        with pytest.raises(native.NativeError, match="they are for float32, float16, bfloat16"):
            block(x.double())
        with pytest.raises(native.NativeError, match="the tensors are on different devices, "):
            ops.conv_leaky_relu(x, torch.empty(4, 16, 4, 4, device="meta"), None)
        with pytest.raises(native.NativeError, match="the batch norm is not in float32"):
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


@only_on_a_gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_the_second_gpu() -> None:
    weight = torch.randn(3, 5, 4, 4, device="cuda:1")
    images = torch.randn(2, 5, 4, 4, device="cuda:1")
    near(
        kernels.down(images, weight, None, None, None, 1.0),
        F.conv2d(images.double(), weight.double(), None, 2, 1),
        1e-3,
    )
    with pytest.raises(RuntimeError, match="weight is on cuda:1, but the first tensor on cuda:0"):
        kernels.down(images.to("cuda:0"), weight, None, None, None, 1.0)


@pytest.mark.parametrize("penalty", ["none", "gradient"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_training_steps_are_those_of_the_reference(precision: str, penalty: str) -> None:
    losses = []
    settings = {"batch_size": 8, "width": 8, "image_size": 16, "penalty": penalty}
    made = plan.make(plan.Request("dcgan", "digits", settings, steps=1, device=DEVICE, precision=precision))
    for backend in ("reference", "native"):
        state = TrainingState(made.build().train(), made.seed, made.precision)
        batches = Batches(made.data, 8, made.seed, state.device)
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
        for found, tensor in zip(gradients(compiled, x.to(DEVICE), precision), expected):
            assert torch.equal(found, tensor)
    torch.compiler.reset()
