"""The kernels for bfloat16 on the CPU against float64, under autocast, and in training."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ganzoo import ops
from ganzoo.nn import (
    Conv3x3,
    ConvBNLeakyReLU,
    ConvDownsample2d,
    ConvTransposeBNReLU,
    ConvTransposeTanh,
    UpsampleConv2d,
)
from ganzoo.ops import NativeError, cpu_library
from tests.ops.conftest import LAYOUTS, random, shaken
from tests.ops.test_blocks import plain

pytestmark = pytest.mark.skipif(not cpu_library.has_bfloat16(), reason="the processor has no products of bfloat16")

kernels = torch.ops.ganzoo
BF16 = torch.bfloat16
ROUNDING = 0.0017
"""The error of rounding normal numbers to bfloat16: relative, in the Euclidean norm."""
WINOGRAD = 0.0045
"""The same of Winograd's scheme with rounded planes, sums and panels: csrc/cpu/winograd/winograd.h."""

BLOCKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "up": (lambda: ConvTransposeBNReLU(24, 40), (14, 24, 4, 5)),
    "first": (lambda: ConvTransposeBNReLU(24, 40, 4, 1, 0), (14, 24, 1, 1)),
    "down": (lambda: ConvBNLeakyReLU(24, 40), (14, 24, 7, 8)),
    "plain": (lambda: ConvBNLeakyReLU(24, 40, norm=False), (14, 24, 7, 8)),
    "image": (lambda: ConvBNLeakyReLU(3, 40, norm=False), (14, 3, 7, 8)),
    "last": (lambda: nn.Sequential(ConvTransposeTanh(24, 3)), (14, 24, 4, 5)),
    "upsample": (lambda: nn.Sequential(UpsampleConv2d(24, 20)), (14, 24, 4, 5)),
    "downsample": (lambda: nn.Sequential(ConvDownsample2d(24, 20)), (14, 24, 7, 8)),
    "same": (lambda: ConvBNLeakyReLU(24, 20, kernel_size=3, stride=1), (3, 24, 7, 8)),
    "same, plain": (lambda: nn.Sequential(Conv3x3(24, 20)), (3, 24, 7, 8)),
}
every_block = pytest.mark.parametrize("kind", BLOCKS)


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    with ops.use_backend("native"):
        yield


def error(actual: Tensor, exact: Tensor) -> float:
    """Relative, in the Euclidean norm."""
    actual, exact = actual.detach().double(), exact.detach().double()
    return float((actual - exact).norm() / exact.norm().clamp_min(1e-30))


def make(kind: str) -> tuple[nn.Sequential, Tensor]:
    """A block with weights and an input that are exact in bfloat16."""
    build, shape = BLOCKS[kind]
    block = shaken(build())
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(parameter.bfloat16().float())
    assert isinstance(block, nn.Sequential)
    return block, random(torch.Generator().manual_seed(3), *shape, layout="channels_last").bfloat16().float()


@settings(max_examples=25, deadline=None)
@given(n=st.sampled_from([1, 2, 13, 25]), cs=st.integers(1, 70), cb=st.integers(1, 40), h=st.integers(1, 9),
       w=st.integers(1, 5), odd=st.booleans(), layout=st.sampled_from(LAYOUTS))  # fmt: skip
def test_operators_against_float64(n: int, cs: int, cb: int, h: int, w: int, odd: bool, layout: str) -> None:
    rng = torch.Generator().manual_seed(n * h)
    height, width = 2 * h + odd, 2 * w
    small, big = random(rng, n, cs, h, w, layout=layout).to(BF16), random(rng, n, cb, height, width, layout=layout)
    big, weight = big.to(BF16), random(rng, cs, cb, 4, 4)
    s, b, exact_weight = small.double(), big.double(), weight.double()
    up = F.conv_transpose2d(s, exact_weight, None, 2, 1, output_padding=(int(odd), 0))
    down = F.conv2d(b, exact_weight, None, 2, 1)
    gradient = torch.nn.grad.conv2d_weight(b, weight.shape, s, 2, 1)
    limit = ROUNDING + WINOGRAD * 1.3
    for (actual, mean, var), exact in (
        (kernels.conv_transpose4x4s2_stats(small, weight, height, width), up),
        (kernels.conv4x4s2_stats(big, weight), down),
    ):
        assert actual.dtype == BF16
        assert error(actual, exact) < limit
        exact_var, exact_mean = torch.var_mean(exact, (0, 2, 3), correction=0)
        assert float((mean - exact_mean).abs().max()) < limit * float(exact.square().mean().sqrt()) + 1e-6
        torch.testing.assert_close(var.double(), exact_var, rtol=0.05, atol=float(exact_var.max()) * 0.02 + 1e-6)
    actual = kernels.conv4x4s2_weight_grad(small, big)
    assert actual.dtype == torch.float32
    assert error(actual, gradient) < limit
    scale, shift = random(rng, cb), random(rng, cb)
    packed = kernels.conv4x4s2_pack_weight(weight, True)
    exact = F.leaky_relu(up * scale.double()[:, None, None] + shift.double()[:, None, None], 0.2)
    actual = kernels.conv_transpose4x4s2(small, weight, packed, scale, shift, 0.2, height, width)
    assert error(actual, exact) < 2 * limit


@pytest.mark.parametrize(("size", "cs", "cb"), [(4, 512, 256), (8, 256, 128), (9, 64, 64), (16, 128, 64)])
def test_no_more_error_than_documented(size: int, cs: int, cb: int) -> None:
    rng = torch.Generator().manual_seed(size)
    small, big = random(rng, 12, cs, size, size).to(BF16), random(rng, 12, cb, 2 * size, 2 * size).to(BF16)
    weight = random(rng, cs, cb, 4, 4)
    s, b, w = small.double(), big.double(), weight.double()
    up = kernels.conv_transpose4x4s2(small, weight, None, None, None, 1.0, 2 * size, 2 * size)
    assert error(up, F.conv_transpose2d(s, w, None, 2, 1)) < WINOGRAD
    assert error(kernels.conv4x4s2(big, weight, None, None, None, 1.0), F.conv2d(b, w, None, 2, 1)) < WINOGRAD
    exact = torch.nn.grad.conv2d_weight(b, w.shape, s, 2, 1)
    assert error(kernels.conv4x4s2_weight_grad(small, big), exact) < WINOGRAD


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_few_channels_round_the_result_only(channels: int) -> None:
    rng = torch.Generator().manual_seed(channels)
    small, big = random(rng, 3, 37, 5, 6).to(BF16), random(rng, 3, channels, 11, 12).to(BF16)
    weight, shift = random(rng, 37, channels, 4, 4) * 0.1, random(rng, channels)
    s, b, w = small.double(), big.double(), weight.double()
    image = kernels.conv_transpose4x4s2_tanh(small, weight, shift, 11, 12)
    assert error(image, F.conv_transpose2d(s, w, shift.double(), 2, 1, output_padding=(1, 0)).tanh()) < ROUNDING
    down = kernels.conv4x4s2(big, weight, None, None, None, 0.2)
    assert error(down, F.leaky_relu(F.conv2d(b, w, None, 2, 1), 0.2)) < 1.1 * ROUNDING
    masked = b * (1 - image.double() ** 2)
    dx = kernels.few_channels_input_grad(big, image, weight, True, 1.0, 5, 6)
    assert error(dx, F.conv2d(masked, w, None, 2, 1)) < 1.1 * ROUNDING
    dweight, dshift = kernels.few_channels_weight_grad(big, image, small, True, 1.0)
    assert error(dweight, torch.nn.grad.conv2d_weight(masked, w.shape, s, 2, 1)) < 1e-5
    assert error(dshift, masked.sum((0, 2, 3))) < 1e-5


@every_block
@pytest.mark.parametrize("training", [True, False])
def test_blocks_and_their_gradients_under_autocast(kind: str, training: bool) -> None:
    block, x = make(kind)
    exact = plain(block.train(training))

    def gradients(network: nn.Module, x: Tensor) -> list[Tensor]:
        x = x.clone().requires_grad_()
        with torch.autocast("cpu", BF16, enabled=x.dtype != torch.float64):
            out = network(x)
        weights = torch.linspace(0.5, 1, out.numel(), dtype=torch.float64).view(out.shape).to(BF16).to(out.dtype)
        return [out, *torch.autograd.grad((out * weights).sum(), [x, *network.parameters()])]

    with torch.autocast("cpu", BF16), ops.use_backend("reference"):
        dtype = copy.deepcopy(block)(x).dtype
    actual, expected = gradients(block, x), gradients(exact, x.double())
    assert actual[0].dtype == dtype == BF16
    assert [t.dtype for t in actual[1:]] == [torch.float32] * len(actual[1:])
    assert error(actual[0], expected[0]) < 0.01
    with torch.autocast("cpu", BF16), ops.use_backend("reference"):
        eager = gradients(copy.deepcopy(plain(block)).float(), x)
    for tensor, of_pytorch, true in zip(actual[1:], eager[1:], expected[1:]):
        # an output near 0 can be on the other side of the activation's corner
        assert error(tensor, true) < 0.05 + 1.5 * error(of_pytorch, true)
    for name, tensor in exact.state_dict().items():  # statistics are float32
        torch.testing.assert_close(block.state_dict()[name].double(), tensor.double(), rtol=0.01, atol=0.01)


@every_block
def test_second_derivatives(kind: str) -> None:
    block, x = make(kind)

    def second(network: nn.Module, x: Tensor) -> list[Tensor]:
        x = x.clone().requires_grad_()
        with torch.autocast("cpu", BF16, enabled=x.dtype != torch.float64):
            out = network(x)
        weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
        (first,) = torch.autograd.grad((out.double() * weights).square().sum(), x, create_graph=True)
        return list(torch.autograd.grad(first.double().square().sum(), list(network.parameters())[:1]))

    actual, expected = second(block, x), second(plain(block), x.double())
    assert error(actual[0], expected[0]) < 0.06


def test_any_number_of_threads_gives_the_same_bits() -> None:
    block, x = make("up")

    def step(threads: int) -> list[Tensor]:
        torch.set_num_threads(threads)
        copied = copy.deepcopy(block)
        with torch.autocast("cpu", BF16):
            out = copied(x)
        out.float().square().sum().backward()
        return [out, *(p.grad for p in copied.parameters() if p.grad is not None)]

    before = torch.get_num_threads()
    try:
        for one, three in zip(step(1), step(3)):
            assert torch.equal(one, three)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("kind", "training"), [("up", True), ("down", True), ("last", False), ("first", False)])
def test_torch_compile_has_no_graph_breaks(kind: str, training: bool) -> None:
    block, x = make(kind)
    block.train(training)
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(block), fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", BF16), torch.set_grad_enabled(training):
        assert torch.equal(compiled(x), block(x))


S, B = torch.zeros(13, 17, 2, 2, dtype=BF16), torch.zeros(13, 20, 4, 4, dtype=BF16)
SAMPLES: dict[str, tuple[Any, ...]] = {
    "conv_transpose4x4s2": (S, torch.ones(17, 20, 4, 4), None, None, None, 1.0, 4, 4),
    "conv4x4s2": (B, torch.ones(17, 20, 4, 4), None, None, None, 1.0),
    "conv_transpose4x4s2_stats": (S, torch.ones(17, 20, 4, 4), 4, 4),
    "conv4x4s2_stats": (B, torch.ones(17, 20, 4, 4)),
    "conv4x4s2_weight_grad": (S, B),
    "channel_stats": (S,),
    "batch_norm_act": (S, torch.zeros(17), torch.ones(17), None, None, 1e-5, 0.2),
    "batch_norm_act_backward": (S, S, torch.zeros(17), torch.ones(17), None, None, 1e-5, 0.2),
    "conv_transpose4x4s2_tanh": (S, torch.ones(17, 3, 4, 4), None, 4, 4),
    "few_channels_input_grad": (B[:, :3], B[:, :3], torch.ones(17, 3, 4, 4), True, 1.0, 2, 2),
    "few_channels_weight_grad": (B[:, :3], B[:, :3], S, True, 1.0),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_opcheck(name: str) -> None:
    images = [torch.randn(t.shape).to(BF16) if isinstance(t, Tensor) and t.dtype == BF16 else t for t in SAMPLES[name]]
    torch.library.opcheck(getattr(kernels, name).default, tuple(images))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("conv4x4s2", (B.half(), torch.ones(17, 20, 4, 4), None, None, None, 1.0), "must be float32 or bfloat16"),
        ("conv4x4s2", (B, torch.ones(17, 20, 4, 4, dtype=BF16), None, None, None, 1.0), "weight must be float32"),
        ("conv4x4s2_weight_grad", (S, B.float()), "big must be of the same dtype"),
        ("batch_norm_act_backward", (S.float(), S, *SAMPLES["batch_norm_act"][1:]), "grad must be of the same dtype"),
        ("few_channels_weight_grad", (B[:, :3], B[:, :3], S.float(), True, 1.0), "input must be of the same dtype"),
    ],
)
def test_bad_arguments(name: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        getattr(kernels, name)(*arguments)


def test_instruction_sets_without_bfloat16_compute_in_float32() -> None:
    block, x = make("up")
    block.eval()
    cpu_library.choose_instruction_set("avx2")
    try:
        assert not cpu_library.has_bfloat16()
        with torch.autocast("cpu", BF16), torch.no_grad():
            out = block(x)
            assert out.dtype == BF16
            assert error(out, plain(block)(x.double())) < ROUNDING
        with pytest.raises(RuntimeError, match="the instruction set in use has no products of it"):
            kernels.channel_stats(S)
    finally:
        cpu_library.choose_instruction_set(None)


def test_what_has_no_kernel_in_bfloat16_says_so() -> None:
    block, x = make("up")
    with torch.autocast("cpu", torch.float16), pytest.raises(NativeError, match="float32 and bfloat16"):
        block(x)
    with torch.autocast("cpu", BF16), pytest.raises(NativeError, match="autocast asks for another precision"):
        ops.linear(x.flatten(1), torch.ones(2, 480))
    with torch.autocast("cpu", BF16), pytest.raises(NativeError, match="float32 and bfloat16"):
        block(x.double())
    with pytest.raises(NativeError, match="they are for float32"):  # as PyTorch, which refuses other dtypes
        block(x.to(BF16))


def test_batch_norm_of_bfloat16() -> None:
    rng = torch.Generator().manual_seed(2)
    x = random(rng, 4, 33, 5, 6, layout="channels_last").to(BF16)
    weight, bias = random(rng, 33), random(rng, 33)
    out = ops.batch_norm_leaky_relu(x, weight, bias, None, None, training=True, momentum=0.1, eps=1e-5)
    exact = F.batch_norm(x.double(), None, None, weight.double(), bias.double(), True, 0.1, 1e-5)
    assert out.dtype == BF16
    assert error(out, F.relu(exact)) < 1.2 * ROUNDING
