"""The C++ operators called directly with unusual tensors: an exception, or the result that float64 gives."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.ops.conftest import needs_native

ops = torch.ops.ganzoo
SIZES = st.integers(0, 5)
KINDS = st.sampled_from([torch.float32] * 6 + [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool])
VIEWS = {
    "unchanged": lambda t: t,
    "channels last": lambda t: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t,
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1) if t.dim() else t,
    "every second": lambda t: t.repeat_interleave(2, -1)[..., ::2] if t.dim() else t,
    "expanded": lambda t: t[:1].expand_as(t) if t.dim() and len(t) else t,
    "offset": lambda t: torch.cat([t.flatten()[:1], t.flatten()])[1:].view(t.shape) if t.numel() else t,
}


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...]) -> Tensor:
    """A tensor of this shape, or with one size changed, in any memory layout; mostly float32."""
    sizes = list(shape)
    if draw(st.integers(0, 3)) == 0:
        sizes[draw(st.integers(0, len(sizes) - 1))] = draw(SIZES)
    rng = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    tensor = torch.randn(sizes, generator=rng).to(draw(KINDS))
    return VIEWS[draw(st.sampled_from(sorted(VIEWS)))](tensor)


def answer(operation: Any, *arguments: Any) -> Any:
    try:
        return operation(*arguments)
    except (RuntimeError, NotImplementedError):
        return None


def assert_close(actual: Tensor, expected: Tensor) -> None:
    """Assert that `actual` is `expected` within its type's rounding, of the largest value for bfloat16."""
    assert actual.shape == expected.shape
    largest = expected.abs().max().item() if expected.numel() else 0.0
    rtol, atol = (0.01, 0.03 * largest + 0.03) if actual.dtype == torch.bfloat16 else (1e-4, 1e-4)
    torch.testing.assert_close(actual.double(), expected, rtol=rtol, atol=atol)


@needs_native
@settings(max_examples=150)
@given(data=st.data())
def test_unusual_tensors_are_refused_or_computed_correctly(data: st.DataObject) -> None:
    n, cin, cout, h, w = (data.draw(st.integers(1, 4)) for _ in range(5))
    small, big = data.draw(tensors((n, cin, h, w))), data.draw(tensors((n, cout, 2 * h, 2 * w)))
    weight, scale, shift = (
        data.draw(tensors((cin, cout, 4, 4))),
        data.draw(tensors((cout,))),
        data.draw(tensors((cout,))),
    )
    kind = data.draw(
        st.sampled_from(
            ["conv_transpose4x4s2", "conv4x4s2", "conv4x4s2_weight_grad", "channel_stats", "batch_norm_act", "matmul"]
        )
    )
    if kind == "conv_transpose4x4s2":
        size = data.draw(st.sampled_from([(2 * h, 2 * w), (2 * h, 2 * w), (h, w), (-1, 2 * w), (1 << 40, 1 << 40)]))
        actual = answer(ops.conv_transpose4x4s2, small, weight, None, scale, shift, 0.2, *size)
        if actual is not None:
            y = F.conv_transpose2d(small.double(), weight.double(), None, 2, 1)
            assert_close(actual, F.leaky_relu(y * scale.double()[:, None, None] + shift.double()[:, None, None], 0.2))
    elif kind == "conv4x4s2":
        actual = answer(ops.conv4x4s2, big, weight, None, None, None, 1.0)
        if actual is not None:
            assert_close(actual, F.conv2d(big.double(), weight.double(), None, 2, 1))
    elif kind == "conv4x4s2_weight_grad":
        actual = answer(ops.conv4x4s2_weight_grad, small, big)
        if actual is not None:
            assert_close(actual, torch.nn.grad.conv2d_weight(big.double(), actual.shape, small.double(), 2, 1))
    elif kind == "channel_stats":
        actual = answer(ops.channel_stats, big)
        if actual is not None:
            var, mean = torch.var_mean(big.double(), (0, 2, 3), correction=0)
            assert_close(actual[0], mean)
            assert_close(actual[1], var)
    elif kind == "batch_norm_act":
        actual = answer(ops.batch_norm_act, big, shift, scale.square(), None, shift, 1e-5, 0.2)
        if actual is not None:
            mean, var, beta = (t.double()[:, None, None] for t in (shift, scale.square(), shift))
            assert_close(actual, F.leaky_relu((big.double() - mean) * torch.rsqrt(var + 1e-5) + beta, 0.2))
    else:
        a, b, bias = data.draw(tensors((n, cin))), data.draw(tensors((cin, cout))), data.draw(tensors((cout,)))
        actual = answer(ops.matmul, a, b, bias)
        if actual is not None:
            assert_close(actual, a.double() @ b.double() + bias.double())
