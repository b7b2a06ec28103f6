"""The operators torch.ops.ganzoo.* on a GPU against float64, in every precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ops.conftest import LAYOUTS, random
from tests.ops.cuda_support import (
    DEVICE,
    DTYPES,
    EMULATED,
    LIMITS,
    every_precision,
    near,
    needs_cuda,
    only_on_a_gpu,
    products,
)

pytestmark = needs_cuda
kernels = torch.ops.ganzoo

shapes = st.tuples(
    st.sampled_from([1, 2, 5, 130]),  # images: tiles of several pixels, and of one
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
    up_size, down_size, gradient_size = (t.sqrt() for t in squares)  # the magnitude of sums of as many random numbers
    with products(precision):
        near(kernels.conv_transpose4x4s2(small, weight, None, None, None, 1.0, height, width), up, limit, up_size)
        near(kernels.conv4x4s2(big, weight, None, None, None, 1.0), down, limit, down_size)
        near(kernels.conv4x4s2_weight_grad(small, big), gradient, limit, gradient_size)
        activated = F.leaky_relu(down * scale.double()[:, None, None] + shift.double()[:, None, None], 0.2)
        activated_size = (down_size * scale[:, None, None]).abs() + shift[:, None, None].abs()
        near(kernels.conv4x4s2(big, weight, None, scale, shift, 0.2), activated, limit, activated_size)
        for actual, y, size in (
            (kernels.conv_transpose4x4s2_stats(small, weight, height, width), up, up_size),
            (kernels.conv4x4s2_stats(big, weight), down, down_size),
        ):
            var, mean = torch.var_mean(y, (0, 2, 3), correction=0)
            near(actual[0], y, limit, size)
            near(actual[1], mean, limit, size.mean((0, 2, 3)))
            near(actual[2], var, limit, 2 * size.square().mean((0, 2, 3)))


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
    mean, var = kernels.channel_stats(y)
    near(kernels.batch_norm_act(y, mean, var, gamma, beta, 1e-5, slope), out, limit)
    gradients = torch.autograd.grad(out, exact, grad.double())
    for actual, expected in zip(
        kernels.batch_norm_act_backward(grad, y, mean, var, gamma, beta, 1e-5, slope), gradients
    ):
        near(actual, expected, limit)


@pytest.mark.parametrize("channels", [1, 3, 300])
def test_running_statistics(channels: int) -> None:
    mean, var, running_mean, running_var = torch.rand(4, channels).to(DEVICE)
    expected = running_mean.lerp(mean, 0.3), running_var.lerp(var * 1.25, 0.3)
    kernels.update_running_statistics(mean, var, running_mean, running_var, 0.3, 1.25)
    torch.testing.assert_close((running_mean, running_var), expected)


def test_results_are_the_same_bits_every_time() -> None:
    rng = torch.Generator().manual_seed(0)
    small, weight = random(rng, 40, 72, 5, 3).to(DEVICE), random(rng, 72, 24, 4, 4).to(DEVICE)
    results = []
    for _ in range(2):
        y, mean, var = kernels.conv_transpose4x4s2_stats(small, weight, 10, 6)
        out = kernels.batch_norm_act(y, mean, var, None, None, 1e-5, 0.0)
        back = kernels.batch_norm_act_backward(out, y, mean, var, None, None, 1e-5, 0.2)
        results.append([y, mean, var, out, *back, kernels.conv4x4s2_weight_grad(small, y)])
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_images_that_do_not_start_at_a_multiple_of_16_bytes() -> None:
    images = torch.randn(3 * 4 * 4 * 8 + 1, dtype=torch.float32).to(DEVICE)[1:].view(3, 4, 4, 8).permute(0, 3, 1, 2)
    weight = torch.randn(16, 8, 4, 4).to(DEVICE)
    with products("fp32"):
        near(
            kernels.conv4x4s2(images, weight, None, None, None, 1.0),
            F.conv2d(images.double(), weight.double(), None, 2, 1),
            1e-5,
        )
        small = torch.randn(3, 16, 2, 2).to(DEVICE)
        exact = torch.nn.grad.conv2d_weight(images.double(), weight.shape, small.double(), 2, 1)
        near(kernels.conv4x4s2_weight_grad(small, images), exact, 1e-5)


def test_an_empty_batch_is_empty() -> None:
    weight = torch.randn(3, 5, 4, 4, device=DEVICE)
    empty = {name: torch.empty(0, *shape, device=DEVICE) for name, shape in (("s", (3, 2, 2)), ("b", (5, 4, 4)))}
    assert kernels.conv_transpose4x4s2(empty["s"], weight, None, None, None, 1.0, 4, 4).shape == (0, 5, 4, 4)
    assert kernels.conv4x4s2(empty["b"], weight, None, None, None, 1.0).shape == (0, 3, 2, 2)
    assert not kernels.conv4x4s2_weight_grad(empty["s"], empty["b"]).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "conv_transpose4x4s2",
        "conv4x4s2",
        "conv_transpose4x4s2_stats",
        "conv4x4s2_stats",
        "conv4x4s2_weight_grad",
        "batch_norm_act",
        "update_running_statistics",
    ],
)
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
        "conv_transpose4x4s2": (small, weight, None, None, tensor(5, dtype=whole), 0.2, 4, 7),
        "conv4x4s2": (big, weight, None, None, tensor(3, dtype=whole), 1.0),
        "conv_transpose4x4s2_stats": (small, weight, 4, 7),
        "conv4x4s2_stats": (big, weight),
        "conv4x4s2_weight_grad": (small, big),
        "batch_norm_act": (small, mean, var, tensor(3, dtype=whole), tensor(3, dtype=whole), 1e-5, 0.2),
        "update_running_statistics": (mean, var, mean.clone(), var.clone(), 0.1, 1.5),
    }[name]
    torch.library.opcheck(getattr(kernels, name).default, arguments)


S, B, W, V = torch.zeros(2, 3, 2, 2), torch.zeros(2, 5, 4, 4), torch.zeros(3, 5, 4, 4), torch.zeros(3)
BAD: dict[str, tuple[str, tuple[Any, ...], str]] = {
    "channels": ("conv_transpose4x4s2", (B, W, None, None, None, 1.0, 8, 8), "for 3 input channels, but there are 5"),
    "size": ("conv_transpose4x4s2", (S, W, None, None, None, 1.0, 6, 4), "is not twice"),
    "huge": ("conv_transpose4x4s2", (S, W, None, None, None, 1.0, 1 << 40, 4), "is not twice"),
    "dtype": (
        "conv_transpose4x4s2",
        (S.double(), W, None, None, None, 1.0, 4, 4),
        "must be float32, float16 or bfloat16",
    ),
    "weight": ("conv4x4s2", (B, W.half(), None, None, None, 1.0), "must be float32 or of the input's dtype"),
    "kernel": ("conv4x4s2", (B, W[:, :, :3], None, None, None, 1.0), r"must be \[\*, \*, 4, 4\]"),
    "packed": ("conv4x4s2", (B, W, V, None, None, 1.0), "packed in the call"),
    "shift": ("conv4x4s2", (B, W, None, None, torch.zeros(4), 1.0), "must have 3 elements"),
    "empty": ("conv_transpose4x4s2_stats", (S[:0], W, 4, 4), "empty batch"),
    "batches": ("conv4x4s2_weight_grad", (S[:1], B), "of one batch"),
    "types": ("conv4x4s2_weight_grad", (S, B.half()), "of the first tensor's dtype"),
    "mean": ("batch_norm_act", (S, torch.zeros(2), V, None, None, 1e-5, 0.0), "must have 3 elements"),
    "strides": ("update_running_statistics", (V, V, V, torch.zeros(6)[::2], 0.1, 1.0), "must be contiguous"),
    "running": ("update_running_statistics", (V, V, torch.zeros(2), V, 0.1, 1.0), "must have 3 elements"),
    "grad": ("batch_norm_act_backward", (B, S, V, V, None, None, 1e-5, 0.0), "the shape of y"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_arguments_are_refused(case: str) -> None:
    name, arguments, message = BAD[case]
    with pytest.raises(RuntimeError, match=message):
        getattr(kernels, name)(*(t.to(DEVICE) if isinstance(t, Tensor) else t for t in arguments))


def test_running_out_of_memory_raises_out_of_memory_error() -> None:
    small = torch.zeros(1, 1, 1 << 14, 1 << 14, dtype=torch.bfloat16, device=DEVICE)
    weight = torch.zeros(1, 1 << 17, 4, 4, device=DEVICE)
    with pytest.raises(RuntimeError, match=r"CUDA out of memory\. ganzoo's kernels"):
        kernels.conv_transpose4x4s2(small, weight, None, None, None, 1.0, 1 << 15, 1 << 15)


@only_on_a_gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_the_second_gpu() -> None:
    weight = torch.randn(3, 5, 4, 4, device="cuda:1")
    images = torch.randn(2, 5, 4, 4, device="cuda:1")
    near(
        kernels.conv4x4s2(images, weight, None, None, None, 1.0),
        F.conv2d(images.double(), weight.double(), None, 2, 1),
        1e-3,
    )
    with pytest.raises(RuntimeError, match="weight is on cuda:1, but the first tensor on cuda:0"):
        kernels.conv4x4s2(images.to("cuda:0"), weight, None, None, None, 1.0)
