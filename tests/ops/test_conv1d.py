"""Convolutions of signals as products, against PyTorch's in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganzoo.core.errors import GanzooError
from ganzoo.nn import Conv1d, ConvTranspose1d
from ganzoo.ops import conv1d, conv_transpose1d
from ganzoo.ops.conv1d import MIN_WORK
from tests.ops.conftest import needs_native

PAPER = {"stride": 4, "padding": 11}
"""WaveGAN's, with kernels of 25."""


def of(transposed: bool, stride: int, padding: int, backend: str = "native") -> Callable[..., Tensor]:
    """The convolution, or the transpose that leads back to lengths that the stride divides."""
    options = {"stride": stride, "padding": padding}
    if transposed:
        return lambda x, w, b: conv_transpose1d(x, w, b, **options, output_padding=stride - 1, backend=backend)
    return lambda x, w, b: conv1d(x, w, b, **options, backend=backend)


def tensors(
    transposed: bool, kernel: int, length: int, inputs: int = 3, outputs: int = 2, count: int = 2
) -> list[Tensor]:
    rng = torch.Generator().manual_seed(kernel)
    weight = (inputs, outputs, kernel) if transposed else (outputs, inputs, kernel)
    shapes = ((2, inputs, length), weight, (outputs,))
    return [torch.randn(shape, generator=rng, dtype=torch.double) for shape in shapes]


@needs_native
@settings(deadline=None, max_examples=30)
@given(
    transposed=st.booleans(), kernel=st.integers(1, 26), stride=st.integers(1, 5), padding=st.integers(0, 12),
    length=st.integers(1, 180), channels=st.tuples(st.integers(1, 5), st.integers(1, 5)), last=st.booleans(),
)  # fmt: skip
def test_against_float64(
    transposed: bool, kernel: int, stride: int, padding: int, length: int, channels: tuple[int, int], last: bool
) -> None:
    exact = tensors(transposed, kernel, length, *channels)
    single = [tensor.float() for tensor in exact]
    if last:
        single[0] = single[0].transpose(1, 2).contiguous().transpose(1, 2)
    operands = [[t.requires_grad_() for t in group] for group in (exact, single)]
    try:
        expected = of(transposed, stride, padding, "reference")(*exact)
    except RuntimeError:  # the kernel is longer than the signal
        with pytest.raises((RuntimeError, GanzooError)):
            of(transposed, stride, padding)(*single)
        return
    actual = of(transposed, stride, padding)(*single)
    grad = torch.randn(expected.shape, dtype=torch.double)
    for result, operand, factor in ((expected, exact, grad), (actual, single, grad.float())):
        operand.extend(torch.autograd.grad(result, operand, factor))
    for one, other in zip([actual, *operands[1]], [expected, *operands[0]]):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@needs_native
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(25, 4, 11), (3, 1, 1)])
@pytest.mark.parametrize("length", [8, 40])  # 40: rows cross from one signal to the next
def test_derivatives_of_first_and_second_order(
    transposed: bool, kernel: int, stride: int, padding: int, length: int
) -> None:
    long = length if transposed else length * stride
    leaves = [t.requires_grad_() for t in tensors(transposed, kernel, long, 1, 2)]
    function = of(transposed, stride, padding)
    assert torch.autograd.gradcheck(function, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@needs_native
def test_modules_compute_products_where_these_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    down, up = Conv1d(8, 16, 25, **PAPER), ConvTranspose1d(16, 8, 25, **PAPER, output_padding=1)
    long, short = torch.randn(4, 8, 256), torch.randn(4, 16, 64)
    assert 4 * 64 * down.weight.numel() >= MIN_WORK
    for module, x, options in ((down, long, PAPER), (up, short, {**PAPER, "output_padding": 1})):
        plain = getattr(F, "conv1d" if module is down else "conv_transpose1d")
        assert list(module.state_dict()) == ["weight", "bias"]
        torch.testing.assert_close(module(x), plain(x, module.weight, module.bias, **options), rtol=1e-4, atol=1e-5)
        assert module(x).stride(1) == 1  # the channels of a sample are next to each other
        monkeypatch.setenv("GANZOO_OPS", "reference")
        assert torch.equal(module(x), plain(x, module.weight, module.bias, **options))
        monkeypatch.delenv("GANZOO_OPS")


def test_other_convolutions_are_pytorchs() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 8, 256)
    for options in ({"padding": "same"}, {"dilation": 2}, {"groups": 2}, {"padding": 2, "padding_mode": "reflect"}):
        ours, theirs = Conv1d(8, 16, 25, **options), torch.nn.Conv1d(8, 16, 25, **options)  # type: ignore[arg-type]
        theirs.load_state_dict(ours.state_dict())
        assert torch.equal(ours(x), theirs(x))
    up = ConvTranspose1d(8, 16, 4, stride=2)
    assert up(x, output_size=[514]).shape == (4, 16, 514)
    assert up(x[0]).shape == (16, 514)


REFUSED: dict[str, dict[str, Any]] = {
    "bias": {"bias": torch.zeros(1)},
    "padding": {"padding": -3},
    "stride": {"stride": 0},
    "output padding": {"stride": 4, "output_padding": 9},
    "negative output padding": {"stride": 4, "output_padding": -1},
}


@pytest.mark.parametrize(
    ("case", "transposed"), [(c, t) for c in REFUSED for t in (False, True) if t or "output" not in c]
)
def test_what_pytorch_refuses_is_refused_in_its_words(case: str, transposed: bool) -> None:
    ours, theirs = (conv_transpose1d, F.conv_transpose1d) if transposed else (conv1d, F.conv1d)
    x, weight = torch.randn(4, 32, 256), torch.randn(32, 32, 25)
    assert x.shape[0] * 64 * weight.numel() >= MIN_WORK
    with pytest.raises(RuntimeError) as expected:
        theirs(x, weight, **REFUSED[case])
    with pytest.raises(RuntimeError) as actual:
        ours(x, weight, **REFUSED[case])
    assert str(actual.value) == str(expected.value)
    with pytest.raises(GanzooError, match="cannot compute this"):
        ours(x, weight, **REFUSED[case], backend="native")


@needs_native
@pytest.mark.parametrize("transposed", [False, True])
def test_how_far_an_infinite_number_reaches(transposed: bool) -> None:
    """As far as in PyTorch, or less than a stride further where zeros fill up the kernel; finite numbers never do."""

    def gradients(backend: str, value: float) -> list[Tensor]:
        torch.manual_seed(0)
        x, weight, bias = (tensor.float() for tensor in tensors(transposed, 25, 256, 3, 3))
        x[0, 1, 128] = value
        y = of(transposed, 4, 11, backend)(x.requires_grad_(), weight, bias)
        grad = torch.randn(y.shape)
        grad[0, 1, 30] = value
        return [y.detach(), *torch.autograd.grad(y, x, grad)]

    for ours, theirs in zip(gradients("native", 1e30), gradients("reference", 1e30)):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
        assert ours.isfinite().all()
    for ours, theirs in zip(gradients("native", math.inf), gradients("reference", math.inf)):
        reached = ~theirs.isfinite()
        further = F.max_pool1d(reached.float(), 7, stride=1, padding=3) > 0  # a stride less one
        assert (reached & ours.isfinite()).sum() == 0
        torch.testing.assert_close(ours[~further], theirs[~further], rtol=1e-4, atol=1e-4)


@needs_native
def test_what_products_cannot_compute_is_refused_and_left_to_pytorch_by_auto() -> None:
    x, weight, _ = (tensor.float() for tensor in tensors(False, 25, 512, 16, 16))
    for wrong in (x.half(), x[0], x.to("meta")):
        with pytest.raises(GanzooError, match="cannot compute this"):
            conv1d(wrong, weight, **PAPER, backend="native")
    with torch.autocast("cpu", torch.bfloat16):
        assert conv1d(x, weight, **PAPER).dtype == torch.bfloat16
    compiled = torch.compile(lambda x: conv1d(x, weight, **PAPER), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), conv1d(x, weight, **PAPER), rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        tangent = torch.func.jvp(lambda x: conv1d(x, weight, **PAPER), (x,), (x,))[1]
    torch.testing.assert_close(tangent, conv1d(x, weight, **PAPER), rtol=1e-4, atol=1e-3)
