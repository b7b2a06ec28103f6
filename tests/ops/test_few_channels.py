"""The operators for images of 1 to 4 channels against float64, in every instruction set."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ops.conftest import LAYOUTS, close, needs_native, random

ops = torch.ops.ganzoo
shapes = st.tuples(
    st.sampled_from([1, 2, 7, 33, 35]),  # images: fewer and more than partial sums
    st.sampled_from([1, 3, 16, 32, 33, 64, 130]),  # small channels
    st.integers(1, 4),  # big channels
    st.integers(1, 20), st.integers(1, 20), st.integers(0, 1), st.integers(0, 1),  # h, w, H - 2h, W - 2w
)  # fmt: skip


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes, layout=st.sampled_from(LAYOUTS), bias=st.booleans(), slope=st.sampled_from([0.0, 0.2, 1.0]))
def test_against_float64(instruction_set: str, shape: tuple[int, ...], layout: str, bias: bool, slope: float) -> None:
    n, cs, cb, h, w, more_h, more_w = shape
    rng = torch.Generator().manual_seed(sum(shape))
    height, width = 2 * h + more_h, 2 * w + more_w
    small, big = random(rng, n, cs, h, w, layout=layout), random(rng, n, cb, height, width, layout=layout)
    weight = random(rng, cs, cb, 4, 4, layout=layout) / cs**0.5
    shift = random(rng, cb) if bias else None

    leaves = [t.double().requires_grad_() for t in (small, weight, torch.zeros(cb) if shift is None else shift)]
    exact = F.conv_transpose2d(*leaves, 2, 1, (more_h, more_w)).tanh()
    out = ops.conv_transpose4x4s2_tanh(small, weight, shift, height, width)
    close(out, exact)
    gradients = torch.autograd.grad(exact, leaves, big.double())
    close(ops.few_channels_input_grad(big, out, weight, True, 1.0, h, w), gradients[0])
    for actual, expected in zip(ops.few_channels_weight_grad(big, out, small, True, 1.0), gradients[1:]):
        close(actual, expected)

    shift = random(rng, cs)
    leaves = [t.double().requires_grad_() for t in (big, weight, shift)]
    exact = F.leaky_relu(F.conv2d(*leaves, 2, 1), slope)
    close(ops.conv4x4s2(big, weight, None, None, shift, slope), exact)
    # with the exact signs: a value rounded to the other side of the corner has a different derivative
    out = exact.detach().float()
    gradients = torch.autograd.grad(exact, leaves, small.double())
    close(ops.few_channels_input_grad(small, out, weight, False, slope, height, width), gradients[0])
    for actual, expected in zip(ops.few_channels_weight_grad(small, out, big, False, slope), gradients[1:]):
        close(actual, expected)


def test_tanh_to_the_last_places(instruction_set: str) -> None:
    values = torch.cat([torch.linspace(-12, 12, 50_001), torch.logspace(-38, 2, 9_999), torch.tensor([-0.0])])
    x = values.view(1, 1, 1, -1).contiguous()
    weight = torch.zeros(1, 1, 4, 4)
    weight[0, 0, 1, 1] = 1  # the even pixels of an even row are x
    actual = ops.conv_transpose4x4s2_tanh(x, weight, None, 2, 2 * x.shape[3])[0, 0, 0, ::2]
    exact = values.double().tanh()
    spacing = torch.nextafter(exact.float().abs(), torch.tensor(torch.inf)) - exact.float().abs()
    assert float(((actual.double() - exact).abs() / spacing.double()).max()) < 4
    assert float(actual.abs().max()) == 1


def test_infinities_saturate_and_nan_stays(instruction_set: str) -> None:
    x = torch.tensor([torch.inf, -torch.inf, torch.nan]).view(3, 1, 1, 1)
    weight = torch.ones(1, 1, 4, 4)
    out = ops.conv_transpose4x4s2_tanh(x, weight, None, 2, 2)
    assert torch.equal(out[0], torch.ones(1, 2, 2))
    assert torch.equal(out[1], -torch.ones(1, 2, 2))
    assert bool(out[2].isnan().all())
    assert bool(ops.few_channels_input_grad(out, out, weight, True, 1.0, 1, 1)[2].isnan().all())


@needs_native
def test_threads_do_not_change_a_bit() -> None:
    rng = torch.Generator().manual_seed(0)
    small, big, weight = random(rng, 50, 70, 9, 5), random(rng, 50, 3, 18, 10), random(rng, 70, 3, 4, 4)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            out, down = (
                ops.conv_transpose4x4s2_tanh(small, weight, None, 18, 10),
                ops.conv4x4s2(big, weight, None, None, None, 0.2),
            )
            one = (
                ops.conv_transpose4x4s2_tanh(small[:1], weight, None, 18, 10),
                ops.conv4x4s2(big[:1], weight, None, None, None, 0.2),
            )
            results.append([out, down, *one, *ops.few_channels_weight_grad(big, out, small, True, 1.0),
                            *ops.few_channels_weight_grad(small, down, big, False, 0.2)])  # fmt: skip
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))
    close(results[0][2], results[0][0][:1])


@needs_native
def test_an_empty_batch_is_empty() -> None:
    weight, empty = torch.randn(3, 2, 4, 4), torch.empty(0, 3, 2, 2)
    out = ops.conv_transpose4x4s2_tanh(empty, weight, None, 4, 4)
    assert out.shape == (0, 2, 4, 4)
    assert ops.few_channels_input_grad(out, out, weight, True, 1.0, 2, 2).shape == (0, 3, 2, 2)
    actual = ops.few_channels_weight_grad(out, out, empty, True, 1.0)
    assert torch.equal(actual[0], torch.zeros(3, 2, 4, 4))
    assert torch.equal(actual[1], torch.zeros(2))


S, B, W = torch.zeros(2, 3, 2, 2), torch.zeros(2, 4, 4, 4), torch.zeros(3, 4, 4, 4)
WIDE = torch.zeros(2, 5, 4, 4)
BAD: dict[str, tuple[str, tuple[Any, ...]]] = {
    "channels": ("conv_transpose4x4s2_tanh", (B, W, None, 8, 8)),
    "wide": ("conv_transpose4x4s2_tanh", (S, torch.zeros(3, 5, 4, 4), None, 4, 4)),
    "size": ("conv_transpose4x4s2_tanh", (S, W, None, 6, 4)),
    "huge size": ("conv_transpose4x4s2_tanh", (S, W, None, 1 << 62, 4)),
    "shift": ("conv_transpose4x4s2_tanh", (S, W, torch.zeros(3), 4, 4)),
    "dtype": ("conv_transpose4x4s2_tanh", (S.double(), W, None, 4, 4)),
    "out": ("few_channels_input_grad", (B, S, W, True, 1.0, 2, 2)),
    "gradient of another": ("few_channels_input_grad", (S, S, W, True, 1.0, 2, 2)),
    "gradient's size": ("few_channels_input_grad", (B, B, W, True, 1.0, 4, 2)),
    "gradient's negative size": ("few_channels_input_grad", (S, S, W, False, 1.0, -4, 4)),
    "wide gradient": ("few_channels_weight_grad", (WIDE, WIDE, S, True, 1.0)),
    "batches": ("few_channels_weight_grad", (B, B, S[:1], True, 1.0)),
    "sizes": ("few_channels_weight_grad", (B, B, B, True, 1.0)),
    "dimensions": ("few_channels_weight_grad", (B, B, S[0], True, 1.0)),
    "sparse": ("few_channels_weight_grad", (B, B.to_sparse(), S, True, 1.0)),
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

    small, big, weight = make(2, 5, 2, 3), make(2, 3, 4, 7), make(5, 3, 4, 4)
    return {
        "conv_transpose4x4s2_tanh": (small, weight, make(3), 4, 7),
        "conv4x4s2": (big, weight, None, None, make(5), 0.2),
        "few_channels_input_grad": (big, big, weight, True, 1.0, 2, 3),
        "few_channels_weight_grad": (small, small, big, False, 0.2),
    }[name]


@needs_native
@pytest.mark.parametrize(
    ("name", "grad"),
    [
        ("conv_transpose4x4s2_tanh", True),
        ("conv4x4s2", True),
        ("few_channels_input_grad", False),
        ("few_channels_weight_grad", False),
    ],
)
def test_opcheck(name: str, grad: bool) -> None:
    torch.library.opcheck(getattr(ops, name).default, sample(name, grad))
