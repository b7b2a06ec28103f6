"""1x1 convolutions: the operators in each instruction set, and the function with the activations it fuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganzoo.nn import Conv1x1
from ganzoo.ops import NativeError, conv1x1, reference
from tests.ops.conftest import LAYOUTS, close, needs_native, random
from tests.ops.test_kernels import over_shapes

ops = torch.ops.ganzoo


def times_derivative(x: Tensor, signs: Tensor, slope: float) -> Tensor:
    """`x` times the derivative of a leaky ReLU at `signs`, in float64."""
    return x.double() * torch.where(signs > 0, 1.0, slope)


@over_shapes
@given(n=st.sampled_from([1, 2, 5]), cin=st.integers(1, 70), cout=st.integers(1, 70), h=st.integers(1, 10),
       w=st.integers(1, 10), slope=st.sampled_from([0.0, 0.2]), layout=st.sampled_from(LAYOUTS),
       of_weight=st.sampled_from(LAYOUTS))  # fmt: skip
def test_operators_against_float64(
    instruction_set: str, n: int, cin: int, cout: int, h: int, w: int, slope: float, layout: str, of_weight: str
) -> None:
    rng = torch.Generator().manual_seed(n)
    (x, at_x), (y, at_y) = ([random(rng, n, c, h, w, layout=layout) for _ in "ab"] for c in (cin, cout))
    weight, bias = random(rng, cout, cin, 1, 1, layout=of_weight), random(rng, cout)
    exact = weight.double()
    out = F.leaky_relu(x.double(), slope)
    out = F.leaky_relu(F.conv2d(out, exact, bias.double()) + y.double(), 0.1)
    close(ops.conv1x1(x, weight, bias, y, slope, 0.1), out)
    into, upon = times_derivative(x, at_x, slope), times_derivative(y, at_y, 0.3)
    forward, back = F.conv2d(into, exact), F.conv2d(upon, exact.transpose(0, 1))
    close(ops.conv1x1_masked(x, weight, False, at_x, slope, at_y, 0.3), times_derivative(forward, at_y, 0.3))
    close(ops.conv1x1_masked(y, weight, True, at_y, 0.3, at_x, slope), times_derivative(back, at_x, slope))
    gradient = torch.einsum("nohw,nihw->oi", upon, into)[:, :, None, None]
    close(ops.conv1x1_weight_grad(x, y, at_x, slope, at_y, 0.3), gradient)
    for transposed, of_x, of_y in (False, (x, at_x, slope), (y, at_y, 0.3)), (True, (y, at_y, 0.3), (x, at_x, slope)):
        one_pass = ops.conv1x1_gradients(of_x[0], of_y[0], weight, transposed, *of_x[1:], *of_y[1:])
        assert torch.equal(one_pass[0], ops.conv1x1_masked(of_y[0], weight, not transposed, *of_y[1:], *of_x[1:]))
        assert torch.equal(one_pass[1], ops.conv1x1_weight_grad(x, y, at_x, slope, at_y, 0.3))
    own_signs = ops.conv1x1_gradients(x, y, weight, False, None, slope, None, 1.0)
    close(own_signs[0], times_derivative(F.conv2d(y.double(), exact.transpose(0, 1)), x, slope))
    plain = torch.einsum("nohw,nihw->oi", y.double(), x.double())[:, :, None, None]
    close(ops.conv1x1_weight_grad(x, y, None, 1.0, None, 1.0), plain)


@needs_native
def test_the_weight_gradient_of_many_pixels_is_the_sum_of_its_parts() -> None:
    rng = torch.Generator().manual_seed(0)
    x, grad, weight = random(rng, 5, 20, 41, 40), random(rng, 5, 40, 41, 40), random(rng, 40, 20, 1, 1)
    exact = torch.einsum("nohw,nihw->oi", grad.double(), x.double())[:, :, None, None]
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            gradient = ops.conv1x1_weight_grad(x, grad, None, 1.0, None, 1.0)
            both = ops.conv1x1_gradients(x, grad, weight, False, None, 1.0, None, 1.0)
            assert torch.equal(both[1], gradient)
            assert torch.equal(both[0], ops.conv1x1_masked(grad, weight, True, None, 1.0, None, 1.0))
            results.append((gradient, ops.conv1x1(x, weight, None, None, 0.2, 1.0)))
    finally:
        torch.set_num_threads(before)
    close(results[0][0], exact)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@needs_native
@pytest.mark.parametrize(("input_slope", "slope"), [(1.0, 1.0), (0.2, 1.0), (1.0, 0.2), (0.0, 0.1)])
@pytest.mark.parametrize("extras", [True, False])
def test_derivatives_up_to_the_third(input_slope: float, slope: float, extras: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 5, 4), (6, 3, 1, 1), (6,), (2, 6, 5, 4))[: 4 if extras else 2]

    def derivatives(backend: str, dtype: torch.dtype) -> list[Tensor]:
        rng.manual_seed(0)
        x, weight, *more = leaves = [random(rng, *shape).to(dtype).requires_grad_() for shape in shapes]
        bias, residual = more or (None, None)
        y = conv1x1(x, weight, bias, residual=residual, input_slope=input_slope, slope=slope, backend=backend)
        results, value = [y], y.pow(3).sum()
        for _ in range(3):
            gradients = torch.autograd.grad(value, leaves, create_graph=True)
            results += gradients
            value = sum(((g * g).sum() for g in gradients), y.new_zeros(()))
        return [t.detach() for t in results]

    for actual, expected in zip(derivatives("native", torch.float32), derivatives("reference", torch.float64)):
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@needs_native
@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("where", ["x", "grad"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stays_where_it_is_in_pytorch(value: float, where: str, slope: float) -> None:
    rng = torch.Generator().manual_seed(0)

    def derivatives(backend: str) -> list[Tensor]:
        rng.manual_seed(0)
        x, weight, grad = random(rng, 2, 20, 3, 4), random(rng, 20, 20, 1, 1), random(rng, 2, 20, 3, 4)
        others = random(rng, 2, 20, 3, 4), random(rng, 20, 20, 1, 1)
        if where == "x":
            x[1, 2, 0, 1] = value
        else:  # where the activations let nothing, or a part, pass
            x[1, :, 0, 1] = -1
            weight[3] = weight[3].abs()
            grad[1, 3, 0, 1] = value
        leaves = [t.requires_grad_() for t in (x, weight, grad)]
        bias = torch.full((20,), -1.0) if where == "grad" else None
        y = conv1x1(x, weight, bias, input_slope=slope, slope=slope, backend=backend)
        first = torch.autograd.grad(y, (x, weight), grad, create_graph=True)
        second = torch.autograd.grad(first, leaves, others)
        return [t.detach() for t in (y, *first, *second)]

    actual, expected = derivatives("native"), derivatives("reference")
    masked = slope == 0 and (where == "grad" or value == -math.inf)
    assert all(bool(t.isfinite().all()) for t in expected) == masked
    torch.testing.assert_close(actual[0], expected[0], equal_nan=True)
    for ours, theirs in zip(actual, expected):
        finite = theirs.isfinite()
        torch.testing.assert_close(ours[finite], theirs[finite], rtol=1e-4, atol=1e-4)


def test_per_sample_gradients() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 16, 4, 4).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(8, 16, 1, 1)

    def loss(weight: Tensor, x: Tensor) -> Tensor:
        return conv1x1(x[None], weight, input_slope=0.2).square().sum()

    by_vmap = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight, x)
    one_by_one = [torch.func.grad(loss)(weight, each) for each in x]
    torch.testing.assert_close(by_vmap, torch.stack(one_by_one), rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_refused_as_pytorch_refuses_it() -> None:
    x = torch.randn(2, 4, 4, 4).contiguous(memory_format=torch.channels_last)
    for weight, bias in (
        (torch.randn(8, 4, 1, 1), torch.randn(1)),
        (torch.randn(8, 1, 2, 2), None),
        (torch.randn(8, 5, 1, 1), None),
    ):
        with pytest.raises(RuntimeError) as theirs:
            F.conv2d(x, weight, bias)
        with pytest.raises(RuntimeError) as ours:
            conv1x1(x, weight, bias)
        assert str(ours.value) == str(theirs.value)


@needs_native
def test_auto_computes_wide_layers_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = Conv1x1(16, 40, slope=0.1, input_slope=0.0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x, residual = torch.randn(8, 16, 8, 8), torch.randn(8, 40, 8, 8)
    expected = F.leaky_relu(F.conv2d(F.relu(x), layer.weight, layer.bias) + residual, 0.1)
    close(layer(x, residual), expected)  # PyTorch, as the images are not channels_last
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert "slope=0.1, input_slope=0.0" in repr(layer)
    for name in ("conv1x1", "product1x1"):
        monkeypatch.setattr(reference, name, None)
    x = x.contiguous(memory_format=torch.channels_last)
    close(layer(x, residual), expected)
    with torch.no_grad():
        close(layer(x, residual), expected)


@needs_native
def test_compiled_without_graph_breaks() -> None:
    torch.manual_seed(0)
    layer = Conv1x1(16, 16, slope=0.2, input_slope=0.2)
    x = torch.randn(8, 16, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    close(torch.autograd.grad(compiled(x).square().sum(), x)[0], torch.autograd.grad(layer(x).square().sum(), x)[0])


@needs_native
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", ["conv1x1", "conv1x1_masked", "conv1x1_weight_grad"])
def test_opcheck(name: str, grad: bool) -> None:
    rng = torch.Generator().manual_seed(1)
    shapes = ((2, 3, 5, 4), (2, 6, 5, 4), (6, 3, 1, 1), (6,))
    x, y, weight, bias = (random(rng, *shape).requires_grad_(grad) for shape in shapes)
    arguments: dict[str, tuple[Any, ...]] = {
        "conv1x1": (x, weight, bias, y, 0.2, 0.1),
        "conv1x1_masked": (y, weight, True, y.detach() + 1, 0.2, x.detach() + 1, 0.1),
        "conv1x1_weight_grad": (x, y, x.detach() + 1, 0.2, None, 1.0),
    }
    torch.library.opcheck(getattr(ops, name).default, arguments[name])


@needs_native
@pytest.mark.parametrize("transposed", [True, False])
def test_opcheck_of_both_gradients(transposed: bool) -> None:
    x, y = torch.randn(2, 3, 5, 4), torch.randn(2, 6, 5, 4)
    weight = torch.randn((3, 6, 1, 1) if transposed else (6, 3, 1, 1))
    torch.library.opcheck(ops.conv1x1_gradients.default, (x, y, weight, transposed, None, 0.2, y.detach() + 1, 0.1))


X, W, Y = torch.zeros(2, 3, 4, 5), torch.zeros(6, 3, 1, 1), torch.zeros(2, 6, 4, 5)
BAD: dict[str, tuple[str, tuple[Any, ...]]] = {
    "channels": ("conv1x1", (Y, W, None, None, 1.0, 1.0)),
    "kernel": ("conv1x1", (X, torch.zeros(6, 3, 1, 2), None, None, 1.0, 1.0)),
    "dtype": ("conv1x1", (X.double(), W, None, None, 1.0, 1.0)),
    "bias": ("conv1x1", (X, W, torch.zeros(3), None, 1.0, 1.0)),
    "residual": ("conv1x1", (X, W, None, X, 1.0, 1.0)),
    "signs of the input": ("conv1x1_masked", (X, W, False, Y, 0.2, None, 1.0)),
    "no signs of the result": ("conv1x1_masked", (X, W, False, None, 1.0, None, 0.2)),
    "signs of the result": ("conv1x1_masked", (Y, W, True, None, 1.0, Y, 0.2)),
    "gradient": ("conv1x1_weight_grad", (X, Y[:1], None, 1.0, None, 1.0)),
    "dimensions": ("conv1x1_weight_grad", (X, Y[0], None, 1.0, None, 1.0)),
    "signs of the gradient": ("conv1x1_weight_grad", (X, Y, None, 1.0, X, 0.2)),
    "gradients of another weight": ("conv1x1_gradients", (X, Y, W, True, None, 1.0, None, 1.0)),
    "huge weight": ("conv1x1", (X[:, :1], torch.zeros(1, 1, 1, 1).expand(1 << 50, 1, 1, 1), None, None, 1.0, 1.0)),
}


@needs_native
@pytest.mark.parametrize("case", BAD)
def test_invalid_arguments_are_refused(case: str) -> None:
    name, arguments = BAD[case]
    with pytest.raises(RuntimeError, match="ganzoo: "):
        getattr(ops, name)(*arguments)


@needs_native
def test_an_empty_batch_is_empty() -> None:
    assert ops.conv1x1(X[:0], W, None, None, 1.0, 1.0).shape == (0, 6, 4, 5)
    assert torch.equal(ops.conv1x1_weight_grad(X[:0], Y[:0], None, 1.0, None, 1.0), torch.zeros(6, 3, 1, 1))
    dx, dweight = ops.conv1x1_gradients(X[:0], Y[:0], W, False, None, 1.0, None, 1.0)
    assert dx.shape == (0, 3, 4, 5)
    assert torch.equal(dweight, torch.zeros(6, 3, 1, 1))


@needs_native
def test_native_says_why_it_cannot() -> None:
    for why, arguments, options in (
        ("the slope -1 is negative", (X, W), {"input_slope": -1}),
        ("the residual has another shape", (X, W), {"residual": X}),
        ("float32", (X, W), {"residual": Y.double()}),
        ("the bias is for another number", (X, W, torch.zeros(5)), {}),
        ("for 3 input channels", (Y, W), {}),
        ("kernel 1", (X, torch.zeros(6, 3, 5, 5)), {}),
    ):
        with pytest.raises(NativeError, match=why):
            conv1x1(*arguments, **options, backend="native")
