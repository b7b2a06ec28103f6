"""The operators torch.ops.ganzoo.* against float64, for many shapes and memory layouts, in every instruction set."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganzoo.ops import NativeError, cpu_library
from tests.ops.conftest import LAYOUTS, close, needs_native, random

ops = torch.ops.ganzoo
shapes = st.tuples(
    st.sampled_from([1, 2, 7, 24, 26]),  # images: fewer and more than a register tile, than a work item
    st.sampled_from([1, 3, 16, 33, 130]),  # small channels
    st.sampled_from([1, 3, 16, 32, 45]),  # big channels
    st.integers(1, 5), st.integers(1, 9), st.integers(0, 1), st.integers(0, 1),  # h, w, H - 2h, W - 2w
)  # fmt: skip
over_shapes = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@over_shapes
@given(shape=shapes, layout=st.sampled_from(LAYOUTS), seed=st.integers(0, 9))
def test_against_float64(instruction_set: str, shape: tuple[int, ...], layout: str, seed: int) -> None:
    n, cs, cb, h, w, more_h, more_w = shape
    rng = torch.Generator().manual_seed(seed)
    height, width = 2 * h + more_h, 2 * w + more_w
    small, big = random(rng, n, cs, h, w, layout=layout), random(rng, n, cb, height, width, layout=layout)
    weight = random(rng, cs, cb, 4, 4, layout=layout)
    exact = {"s": small.double(), "b": big.double(), "w": weight.double()}

    up = F.conv_transpose2d(exact["s"], exact["w"], None, 2, 1, (more_h, more_w))
    close(ops.conv_transpose4x4s2(small, weight, None, None, None, 1.0, height, width), up)
    down = F.conv2d(exact["b"], exact["w"], None, 2, 1)
    close(ops.conv4x4s2(big, weight, None, None, None, 1.0), down)
    gradient = torch.nn.grad.conv2d_weight(exact["b"], weight.shape, exact["s"], 2, 1)
    close(ops.conv4x4s2_weight_grad(small, big), gradient)

    scale, shift = random(rng, cs), random(rng, cs)
    activated = F.leaky_relu(down * scale.double()[:, None, None] + shift.double()[:, None, None], 0.2)
    close(ops.conv4x4s2(big, weight, ops.conv4x4s2_pack_weight(weight, False), scale, shift, 0.2), activated)
    close(
        ops.conv_transpose4x4s2(small, weight, ops.conv4x4s2_pack_weight(weight, True), None, None, 1.0, height, width),
        up,
    )
    for actual, y in (
        (ops.conv_transpose4x4s2_stats(small, weight, height, width), up),
        (ops.conv4x4s2_stats(big, weight), down),
    ):
        var, mean = torch.var_mean(y, (0, 2, 3), correction=0)
        for tensor, expected in zip(actual, (y, mean, var)):
            close(tensor, expected)
        for tensor, expected in zip(ops.channel_stats(actual[0]), (mean, var)):
            close(tensor, expected)


@pytest.mark.parametrize(
    ("n", "cs", "cb", "height", "width"),
    [(70, 17, 33, 8, 8), (40, 40, 16, 15, 11), (3, 130, 70, 40, 38), (200, 70, 32, 2, 12)],
)
def test_winograd_sums_over_many_tiles(instruction_set: str, n: int, cs: int, cb: int, height: int, width: int) -> None:
    rng = torch.Generator().manual_seed(0)
    small, big = random(rng, n, cs, height // 2, width // 2), random(rng, n, cb, height, width)
    weight = random(rng, cs, cb, 4, 4)
    exact = F.conv2d(big.double(), weight.double(), None, 2, 1)
    y, mean, var = ops.conv4x4s2_stats(big, weight)
    close(y, exact)
    for actual, expected in zip((var, mean), torch.var_mean(exact, (0, 2, 3), correction=0)):
        close(actual, expected)
    close(
        ops.conv4x4s2_weight_grad(small, big),
        torch.nn.grad.conv2d_weight(big.double(), weight.shape, small.double(), 2, 1),
    )


@pytest.mark.parametrize(
    ("size", "cs", "cb"), [(4, 128, 64), (7, 128, 64), (8, 512, 256), (9, 256, 512), (12, 128, 64), (16, 128, 64)]
)
def test_winograd_loses_no_more_than_documented(instruction_set: str, size: int, cs: int, cb: int) -> None:
    rng = torch.Generator().manual_seed(size)
    n = 16 * 128 * 64 // (cs * cb) + 3
    small, big = random(rng, n, cs, size, size), random(rng, n, cb, 2 * size, 2 * size)
    weight = random(rng, cs, cb, 4, 4)
    exact = {"s": small.double(), "b": big.double(), "w": weight.double()}
    pairs = [
        (ops.conv_transpose4x4s2(small, weight, None, None, None, 1.0, 2 * size, 2 * size),
         F.conv_transpose2d(exact["s"], exact["w"], None, 2, 1)),
        (ops.conv4x4s2(big, weight, None, None, None, 1.0), F.conv2d(exact["b"], exact["w"], None, 2, 1)),
        (ops.conv4x4s2_weight_grad(small, big),
         torch.nn.grad.conv2d_weight(exact["b"], weight.shape, exact["s"], 2, 1)),
    ]  # fmt: skip
    for actual, expected in pairs:
        off = float((actual.double() - expected).abs().max() / expected.abs().max())
        assert off < 3e-6


def matrix(rng: torch.Generator, rows: int, columns: int, layout: str) -> Tensor:
    if layout == "columns":
        return torch.randn(columns, rows, generator=rng).t()
    if layout == "strided":
        return torch.randn(rows, 2 * columns, generator=rng)[:, ::2]
    if layout == "expanded":
        return torch.randn(1, columns, generator=rng).expand(rows, columns)
    return torch.randn(rows, columns, generator=rng)


sizes = st.sampled_from([1, 2, 7, 16, 33, 48, 64, 100, 300])
matrix_layouts = st.sampled_from(["rows", "columns", "strided", "expanded"])


@over_shapes
@given(m=sizes, n=sizes, k=sizes, of_a=matrix_layouts, of_b=matrix_layouts, bias=st.booleans(), seed=st.integers(0, 9))
def test_products_against_float64(
    instruction_set: str, m: int, n: int, k: int, of_a: str, of_b: str, bias: bool, seed: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    a, b, shift = matrix(rng, m, k, of_a), matrix(rng, k, n, of_b), torch.randn(n, generator=rng) if bias else None
    close(ops.matmul(a, b, shift), a.double() @ b.double() + (0 if shift is None else shift.double()))


@over_shapes
@given(n=st.integers(1, 5), c=st.sampled_from([1, 5, 16, 70]), h=st.integers(1, 20), slope=st.sampled_from([0.0, 0.2]),
       affine=st.booleans(), layout=st.sampled_from(LAYOUTS))  # fmt: skip
def test_normalisation_against_float64(
    instruction_set: str, n: int, c: int, h: int, slope: float, affine: bool, layout: str
) -> None:
    rng = torch.Generator().manual_seed(n)
    y, grad = random(rng, n, c, h, 3, layout=layout), random(rng, n, c, h, 3, layout=layout)
    gamma, beta = (random(rng, c), random(rng, c)) if affine else (None, None)
    exact = [y.double().requires_grad_()]
    exact += [t.double().requires_grad_() for t in (gamma, beta) if t is not None]
    out = F.leaky_relu(F.batch_norm(exact[0], None, None, *(exact[1:] or (None, None)), True, 0.0, 1e-5), slope)
    gradients = torch.autograd.grad(out, exact, grad.double())
    mean, var = ops.channel_stats(y)
    close(ops.batch_norm_act(y, mean, var, gamma, beta, 1e-5, slope), out)
    actual = ops.batch_norm_act_backward(grad, y, mean, var, gamma, beta, 1e-5, slope)
    for tensor, expected in zip(actual, gradients):
        close(tensor, expected)


@needs_native
def test_threads_and_chunks_do_not_change_a_bit() -> None:
    rng = torch.Generator().manual_seed(0)
    small, weight = random(rng, 50, 130, 9, 5), random(rng, 130, 40, 4, 4)
    flat = random(rng, 300, 90)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            y, mean, var = ops.conv_transpose4x4s2_stats(small, weight, 18, 10)
            out = ops.batch_norm_act(y, mean, var, None, None, 1e-5, 0.0)
            back = ops.batch_norm_act_backward(out, y, mean, var, None, None, 1e-5, 0.2)
            gradient, again = ops.conv4x4s2_weight_grad(small, y), ops.conv4x4s2_stats(y, weight)
            products = ops.matmul(flat, flat.t(), None), ops.matmul(flat.t(), flat, None)
            results.append([*products, y, mean, var, out, *back, gradient, *again, *ops.channel_stats(y)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@needs_native
def test_an_empty_batch_is_empty() -> None:
    weight = torch.randn(3, 5, 4, 4)
    assert ops.conv_transpose4x4s2(torch.empty(0, 3, 2, 2), weight, None, None, None, 1.0, 4, 4).shape == (0, 5, 4, 4)
    assert ops.conv4x4s2(torch.empty(0, 5, 4, 4), weight, None, None, None, 1.0).shape == (0, 3, 2, 2)
    gradient = ops.conv4x4s2_weight_grad(torch.empty(0, 3, 2, 2), torch.empty(0, 5, 4, 4))
    assert torch.equal(gradient, torch.zeros(3, 5, 4, 4))
    assert ops.matmul(torch.empty(0, 3), torch.empty(3, 5), None).shape == (0, 5)
    assert torch.equal(
        ops.matmul(torch.empty(2, 0), torch.empty(0, 3), torch.arange(3.0)), torch.arange(3.0).expand(2, 3)
    )


S, B, W = torch.zeros(2, 3, 2, 2), torch.zeros(2, 5, 4, 4), torch.zeros(3, 5, 4, 4)
V = torch.zeros(3)
FREED = W.clone()
FREED.untyped_storage().resize_(0)


def huge(*sizes: int) -> Tensor:
    return torch.zeros((1,) * len(sizes)).expand(sizes)


BAD: dict[str, tuple[str, tuple[Any, ...]]] = {
    "channels": ("conv_transpose4x4s2", (B, W, None, None, None, 1.0, 8, 8)),
    "size": ("conv_transpose4x4s2", (S, W, None, None, None, 1.0, 6, 4)),
    "negative size": ("conv_transpose4x4s2", (S, W, None, None, None, 1.0, -4, 4)),
    "huge size": ("conv_transpose4x4s2", (S, W, None, None, None, 1.0, 1 << 62, 4)),
    "dtype": ("conv_transpose4x4s2", (S.double(), W, None, None, None, 1.0, 4, 4)),
    "weight dtype": ("conv4x4s2", (B, W.half(), None, None, None, 1.0)),
    "dimensions": ("conv4x4s2", (B[0], W, None, None, None, 1.0)),
    "kernel": ("conv4x4s2", (B, W[:, :, :3], None, None, None, 1.0)),
    "too small": ("conv4x4s2", (B[..., :1], W, None, None, None, 1.0)),
    "no pixels": ("conv4x4s2", (B[..., :0], W, None, None, None, 1.0)),
    "packed": ("conv4x4s2", (B, W, torch.zeros(5), None, None, 1.0)),
    "scale": ("conv4x4s2", (B, W, None, torch.zeros(4), None, 1.0)),
    "shift": ("conv4x4s2", (B, W, None, None, torch.zeros(3, 1), 1.0)),
    "no channels": ("conv4x4s2_pack_weight", (W[:0], True)),
    "huge weight": ("conv4x4s2_pack_weight", (huge(1 << 58, 1, 4, 4), True)),
    "huge weight, empty batch": ("conv4x4s2", (huge(0, 2, 2, 2), huge(1 << 57, 2, 4, 4), None, None, None, 1.0)),
    "huge images, empty batch": (
        "conv4x4s2_weight_grad",
        (torch.zeros(0, 8, 1, 1 << 58), torch.zeros(0, 2, 2, 1 << 59)),
    ),
    "huge matrices": ("matmul", (huge(1, 1 << 60), huge(1 << 60, 1), None)),
    "freed memory": ("conv_transpose4x4s2", (S, FREED, None, None, None, 1.0, 4, 4)),
    "two devices": ("conv_transpose4x4s2", (S, W.to("meta"), None, None, None, 1.0, 4, 4)),
    "empty statistics": ("conv_transpose4x4s2_stats", (S[:0], W, 4, 4)),
    "batches": ("conv4x4s2_weight_grad", (S[:1], B)),
    "sizes": ("conv4x4s2_weight_grad", (S, S)),
    "sparse": ("conv4x4s2_weight_grad", (S.to_sparse(), B)),
    "inner size": ("matmul", (torch.zeros(2, 3), torch.zeros(2, 3), None)),
    "matrix bias": ("matmul", (torch.zeros(2, 3), torch.zeros(3, 4), torch.zeros(3))),
    "three dimensions": ("matmul", (S[0], torch.zeros(3, 4), None)),
    "integers": ("matmul", (torch.zeros(2, 3), torch.zeros(3, 4, dtype=torch.int32), None)),
    "empty": ("channel_stats", (S[:0],)),
    "mean": ("batch_norm_act", (S, torch.zeros(2), V, None, None, 1e-5, 0.0)),
    "gamma": ("batch_norm_act", (S, V, V, torch.zeros(4), None, 1e-5, 0.0)),
    "grad": ("batch_norm_act_backward", (B, S, V, V, None, None, 1e-5, 0.0)),
}


@needs_native
@pytest.mark.parametrize("case", BAD)
def test_invalid_arguments_are_refused(case: str) -> None:
    name, arguments = BAD[case]
    with pytest.raises((RuntimeError, NotImplementedError)):
        getattr(ops, name)(*arguments)


def sample(name: str, grad: bool) -> tuple[Any, ...]:
    rng = torch.Generator().manual_seed(1)

    def make(*shape: int) -> Tensor:
        return random(rng, *shape).detach().requires_grad_(grad)

    small, big, weight, vector = make(2, 3, 2, 3), make(2, 5, 4, 7), make(3, 5, 4, 4), make(3)
    positive = torch.rand(3, generator=rng) + 0.5
    return {
        "conv4x4s2_pack_weight": (weight, True),
        "conv_transpose4x4s2": (small, weight, None, None, make(5), 0.2, 4, 7),
        "conv4x4s2": (big, weight, None, None, vector, 1.0),
        "conv_transpose4x4s2_stats": (small, weight, 4, 7),
        "conv4x4s2_stats": (big, weight),
        "conv4x4s2_weight_grad": (small, big),
        "matmul": (make(3, 5).t(), make(3, 4), make(4)),
        "channel_stats": (small,),
        "batch_norm_act": (small, torch.zeros(3), positive, vector, make(3), 1e-5, 0.2),
        "batch_norm_act_backward": (make(2, 3, 2, 3), small, torch.zeros(3), positive, vector, None, 1e-5, 0.2),
    }[name]


@needs_native
@pytest.mark.parametrize(
    ("name", "grad"),
    [
        (name, True)
        for name in (
            "conv_transpose4x4s2",
            "conv4x4s2",
            "conv_transpose4x4s2_stats",
            "conv4x4s2_stats",
            "conv4x4s2_weight_grad",
            "batch_norm_act",
            "matmul",
        )
    ]
    + [
        (name, False)
        for name in (
            "conv4x4s2_pack_weight",
            "channel_stats",
            "batch_norm_act_backward",
            "conv_transpose4x4s2",
            "batch_norm_act",
        )
    ],
)
def test_opcheck(name: str, grad: bool) -> None:
    torch.library.opcheck(getattr(ops, name).default, sample(name, grad))


@needs_native
def test_an_instruction_set_is_chosen_by_name() -> None:
    best = cpu_library.instruction_set()
    cpu_library.choose_instruction_set("generic")
    assert cpu_library.instruction_set() == "generic"
    cpu_library.choose_instruction_set(None)
    assert cpu_library.instruction_set() == best
    with pytest.raises(NativeError, match="cannot run the kernels for 'sve2'"):
        cpu_library.choose_instruction_set("sve2")
