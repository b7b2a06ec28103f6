"""The kernels for images of 1 to 4 channels on a GPU against float64: the products, and gradients fused with those of
an activation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganzoo import ops
from ganzoo.ops.cuda_library import has_few_channels
from tests.ops.conftest import LAYOUTS, random
from tests.ops.cuda_support import DEVICE, DTYPES, EMULATED, LIMITS, near, needs_cuda
from tests.ops.test_backend import Recorder

pytestmark = needs_cuda
kernels = torch.ops.ganzoo
every_precision = pytest.mark.parametrize("precision", ["fp16", "bf16"])

shapes = st.tuples(
    st.sampled_from([1, 2, 5, 33]),  # images
    st.sampled_from([16, 48, 64, 80, 128, 256]), st.integers(1, 4),  # channels
    st.integers(1, 9), st.sampled_from([1, 2, 7, 16, 33, 40]),  # h, w: one column of tiles, and several
    st.integers(0, 1), st.integers(0, 1),  # H - 2h, W - 2w
).filter(lambda s: not EMULATED or s[0] * s[1] * s[3] * s[4] < 12000)  # fmt: skip


@every_precision
@settings(max_examples=6 if EMULATED else 100)
@given(shape=shapes, layout=st.sampled_from(LAYOUTS), own=st.booleans(), slope=st.sampled_from([0.0, 0.2]))
def test_products_and_gradients(precision: str, shape: tuple[int, ...], layout: str, own: bool, slope: float) -> None:
    n, cs, cb, h, w, more_h, more_w = shape
    rng, dtype, limit = torch.Generator().manual_seed(sum(shape)), DTYPES[precision], LIMITS[precision]
    height, width = 2 * h + more_h, 2 * w + more_w

    def make(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return random(rng, *shape, layout=layout if len(shape) == 4 else "nchw").to(DEVICE, dtype)

    small, big = make(n, cs, h, w), make(n, cb, height, width)
    weight = (random(rng, cs, cb, 4, 4, layout=layout) / cs**0.5).to(DEVICE, dtype if own else torch.float32)
    exact_weight = weight.to(dtype).double()
    assert has_few_channels(dtype, weight)
    gradient = torch.nn.grad.conv2d_weight(big.double(), weight.shape, small.double(), 2, 1)
    near(kernels.conv4x4s2_weight_grad(small, big), gradient, limit)

    shift = make(cb, dtype=torch.float32)
    leaves = [t.double().requires_grad_() for t in (small, exact_weight, shift)]
    sums = F.conv_transpose2d(*leaves, 2, 1, (more_h, more_w))
    near(
        kernels.conv_transpose4x4s2(small, weight, None, None, shift, slope, height, width),
        F.leaky_relu(sums, slope),
        limit,
    )
    exact = sums.tanh()
    near(kernels.conv_transpose4x4s2_tanh(small, weight, shift, height, width), exact, limit)
    out = exact.detach().to(dtype)
    gradients = torch.autograd.grad(sums, leaves, big.double() * (1 - out.double().square()))
    # rounded, a gradient of many terms loses as much as its terms: the sum for the bias has few numbers to average
    near(kernels.few_channels_input_grad(big, out, weight, True, 1.0, h, w), gradients[0], limit)
    dweight, dshift = kernels.few_channels_weight_grad(big, out, small, True, 1.0)
    near(dweight, gradients[1], limit)
    near(dshift, gradients[2], limit, big.double().square().sum((0, 2, 3)).sqrt())

    shift = make(cs, dtype=torch.float32)
    leaves = [t.double().requires_grad_() for t in (big, exact_weight, shift)]
    sums = F.conv2d(*leaves, 2, 1)
    exact = F.leaky_relu(sums, slope)
    near(kernels.conv4x4s2(big, weight, None, None, shift, slope), exact, limit)
    out = exact.detach().to(dtype)
    gradients = torch.autograd.grad(sums, leaves, torch.where(out > 0, 1.0, slope) * small.double())
    near(kernels.few_channels_input_grad(small, out, weight, False, slope, height, width), gradients[0], limit)
    dweight, dshift = kernels.few_channels_weight_grad(small, out, big, False, slope)
    near(dweight, gradients[1], limit)
    near(dshift, gradients[2], limit, small.double().square().sum((0, 2, 3)).sqrt())


def test_results_are_the_same_bits_every_time() -> None:
    rng = torch.Generator().manual_seed(0)
    small, big, weight = (
        random(rng, *s).to(DEVICE, torch.bfloat16) for s in ((9, 64, 5, 7), (9, 3, 10, 14), (64, 3, 4, 4))
    )
    first, second = (
        [
            kernels.conv_transpose4x4s2_tanh(small, weight, None, 10, 14),
            kernels.conv4x4s2(big, weight, None, None, None, 0.2),
            *kernels.few_channels_weight_grad(small, small, big, False, 0.2),
            *kernels.few_channels_weight_grad(big, big, small, True, 1.0),
        ]
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second))


def test_images_that_do_not_start_at_a_multiple_of_16_bytes() -> None:
    def shifted(n: int, c: int, h: int, w: int) -> Tensor:
        return torch.randn(n * c * h * w + 1).to(DEVICE, torch.bfloat16)[1:].view(n, h, w, c).permute(0, 3, 1, 2)

    small, big, weight = shifted(2, 16, 4, 4), shifted(2, 3, 8, 8), torch.randn(16, 3, 4, 4).to(DEVICE)
    for a, b in zip(
        (small, big, weight), (t.contiguous(memory_format=torch.channels_last).clone() for t in (small, big, weight))
    ):
        assert torch.equal(a, b)
    down = kernels.conv4x4s2(big, weight, None, None, None, 1.0)
    assert torch.equal(down, kernels.conv4x4s2(big.clone(), weight, None, None, None, 1.0))
    up = kernels.conv_transpose4x4s2(small, weight, None, None, None, 1.0, 8, 8)
    assert torch.equal(up, kernels.conv_transpose4x4s2(small.clone(), weight, None, None, None, 1.0, 8, 8))
    gradient = kernels.conv4x4s2_weight_grad(small, big)
    assert torch.equal(gradient, kernels.conv4x4s2_weight_grad(small.clone(), big.clone()))


def test_an_empty_batch_is_empty() -> None:
    weight, empty = torch.randn(16, 2, 4, 4).to(DEVICE), torch.empty(0, 16, 2, 2, dtype=torch.bfloat16, device=DEVICE)
    out = kernels.conv_transpose4x4s2_tanh(empty, weight, None, 4, 4)
    assert out.shape == (0, 2, 4, 4)
    assert kernels.few_channels_input_grad(out, out, weight, True, 1.0, 2, 2).shape == (0, 16, 2, 2)
    assert kernels.conv4x4s2(out, weight, None, None, None, 0.2).shape == (0, 16, 2, 2)
    assert not kernels.conv4x4s2_weight_grad(empty, out).any()
    actual = kernels.few_channels_weight_grad(out, out, empty, True, 1.0)
    assert torch.equal(actual[0], torch.zeros(16, 2, 4, 4, device=DEVICE))
    assert torch.equal(actual[1], torch.zeros(2, device=DEVICE))


S, B = torch.zeros(2, 16, 2, 2, dtype=torch.bfloat16), torch.zeros(2, 3, 4, 4, dtype=torch.bfloat16)
W, ODD = torch.zeros(16, 3, 4, 4), torch.zeros(2, 24, 2, 2, dtype=torch.bfloat16)
BAD: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "channels": ("conv_transpose4x4s2_tanh", (B, W, None, 8, 8), "for 16 input channels, but there are 3"),
    "float32": ("conv_transpose4x4s2_tanh", (S.float(), W, None, 4, 4), "needs float16 or bfloat16"),
    "wide": ("conv_transpose4x4s2_tanh", (S, torch.zeros(16, 5, 4, 4), None, 4, 4), "1 to 4 channels, but has 5"),
    "size": ("conv_transpose4x4s2_tanh", (S, W, None, 6, 4), "is not twice"),
    "shift": ("conv_transpose4x4s2_tanh", (S, W, torch.zeros(4), 4, 4), "must have 3 elements"),
    "weight": ("conv_transpose4x4s2_tanh", (S, W.half(), None, 4, 4), "must be float32 or of the input's dtype"),
    "multiple": ("few_channels_weight_grad", (ODD, ODD, B, False, 0.2), "a multiple of 16 up to 256, but there are 24"),
    "many": ("few_channels_input_grad", (S[:, :1].expand(2, 512, 2, 2), S[:, :1].expand(2, 512, 2, 2),
                                         torch.zeros(512, 3, 4, 4), False, 0.2, 4, 4), "but there are 512"),
    "out": ("few_channels_input_grad", (B, S, W, True, 1.0, 2, 2), "the shape of out"),
    "types": ("few_channels_input_grad", (B, B.half(), W, True, 1.0, 2, 2), "of the first tensor's dtype"),
    "batches": ("few_channels_weight_grad", (B, B, S[:1], True, 1.0), "of one batch"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_invalid_arguments_are_refused(case: str) -> None:
    name, arguments, message = BAD[case]
    with pytest.raises(RuntimeError, match=message):
        getattr(kernels, name)(*(t.to(DEVICE) if isinstance(t, Tensor) else t for t in arguments))


@pytest.mark.parametrize(
    "name", ["conv_transpose4x4s2_tanh", "conv4x4s2", "few_channels_input_grad", "few_channels_weight_grad"]
)
def test_opcheck(name: str) -> None:
    def tensor(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        return torch.randn(*shape).to(DEVICE, dtype).requires_grad_(not name.startswith("few"))

    small, big, weight = tensor(2, 16, 2, 3), tensor(2, 3, 4, 7), tensor(16, 3, 4, 4, dtype=torch.float32)
    arguments = {
        "conv_transpose4x4s2_tanh": (small, weight, tensor(3, dtype=torch.float32), 4, 7),
        "conv4x4s2": (big, weight, None, None, tensor(16, dtype=torch.float32), 0.2),
        "few_channels_input_grad": (big, big, weight, True, 1.0, 2, 3),
        "few_channels_weight_grad": (small, small, big, False, 0.2),
    }[name]
    torch.library.opcheck(getattr(kernels, name).default, arguments)


@every_precision
@pytest.mark.parametrize("transposed", [True, False])
def test_second_derivatives(transposed: bool, precision: str) -> None:
    rng, dtype = torch.Generator().manual_seed(1), DTYPES[precision]
    x = random(rng, 3, *((32, 4, 3) if transposed else (3, 8, 6))).to(DEVICE, dtype)
    weight = (random(rng, 32, 3, 4, 4) / 8).to(dtype).float().to(DEVICE)
    bias = random(rng, 3 if transposed else 32).to(DEVICE)

    def second(layer: Any, *leaves: Tensor) -> tuple[Tensor, ...]:
        leaves = tuple(t.detach().clone().requires_grad_() for t in leaves)
        (first,) = torch.autograd.grad(layer(*leaves).float().square().sum(), leaves[0], create_graph=True)
        return torch.autograd.grad(first.double().square().sum(), leaves)

    layer: Any = ops.conv_transpose_tanh if transposed else ops.conv_leaky_relu
    with Recorder() as recorder:
        actual = second(lambda *leaves: layer(*leaves, backend="native"), x, weight, bias)
    assert "ganzoo::conv_transpose4x4s2" in recorder.names
    assert "ganzoo::conv4x4s2_weight_grad" in recorder.names
    exact = second(lambda *leaves: layer(*leaves, backend="reference"), x.double(), weight.double(), bias.double())
    for tensor, expected in zip(actual, exact):
        near(tensor, expected, 6 * LIMITS[precision])


@pytest.mark.parametrize("transposed", [True, False])
def test_a_backward_pass_is_two_operators(transposed: bool) -> None:
    x = torch.randn(2, *((32, 4, 3) if transposed else (3, 8, 6))).to(DEVICE, torch.bfloat16).requires_grad_()
    weight = torch.randn(32, 3, 4, 4).to(DEVICE).requires_grad_()
    bias = torch.randn(3 if transposed else 32).to(DEVICE).requires_grad_()
    layer: Any = ops.conv_transpose_tanh if transposed else ops.conv_leaky_relu
    out = layer(x, weight, bias, backend="native")
    with Recorder() as recorder:
        torch.autograd.grad(out, [x, weight, bias], torch.ones_like(out))
    native = [name for name in recorder.names if name.startswith("ganzoo::")]
    assert native == ["ganzoo::few_channels_input_grad", "ganzoo::few_channels_weight_grad"]
    assert not any("sum" in name or "backward" in name for name in recorder.names)
