"""3x3 convolutions with stride 1: the operators in each instruction set, and the function with everything it fuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ganzoo.nn import Conv3x3
from ganzoo.ops import NativeError, conv3x3, conv_leaky_relu, reference
from tests.ops.conftest import LAYOUTS, close, needs_native, random
from tests.ops.test_kernels import over_shapes

ops = torch.ops.ganzoo


@over_shapes
@given(n=st.sampled_from([1, 2, 5]), cin=st.integers(1, 70), cout=st.integers(1, 70), h=st.integers(1, 10),
       w=st.integers(1, 10), layout=st.sampled_from(LAYOUTS), of_weight=st.sampled_from(LAYOUTS))  # fmt: skip
def test_operators_against_float64(
    instruction_set: str, n: int, cin: int, cout: int, h: int, w: int, layout: str, of_weight: str
) -> None:
    rng = torch.Generator().manual_seed(n)
    x, grad = random(rng, n, cin, h, w, layout=layout), random(rng, n, cout, h, w, layout=layout)
    weight = random(rng, cout, cin, 3, 3, layout=of_weight)
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    y, mean, var = ops.conv3x3_stats(x, weight)
    close(y, exact)
    for actual, expected in zip((var, mean), torch.var_mean(exact, (0, 2, 3), correction=0)):
        close(actual, expected)
    assert torch.equal(ops.conv3x3(x, weight, ops.conv3x3_pack_weight(weight), None, None, None, 1.0), y)
    close(
        ops.conv3x3_input_grad(grad, weight),
        torch.nn.grad.conv2d_input(x.shape, weight.double(), grad.double(), padding=1),
    )
    close(
        ops.conv3x3_weight_grad(x, grad),
        torch.nn.grad.conv2d_weight(x.double(), weight.shape, grad.double(), padding=1),
    )


@pytest.mark.parametrize(("cin", "cout"), [(1, 33), (3, 64), (4, 7), (33, 1), (64, 3), (40, 4), (2, 3)])
@pytest.mark.parametrize(("n", "h", "w"), [(1, 17, 9), (3, 8, 8), (40, 3, 1)])
def test_few_channels_on_one_side(instruction_set: str, cin: int, cout: int, n: int, h: int, w: int) -> None:
    rng = torch.Generator().manual_seed(cin)
    x, grad, weight = random(rng, n, cin, h, w), random(rng, n, cout, h, w), random(rng, cout, cin, 3, 3)
    bias, residual, scale = random(rng, cout), random(rng, n, cout, h, w), random(rng, cout)
    y = F.conv2d(x.double(), weight.double(), padding=1)
    out = y * scale.double()[:, None, None] + bias.double()[:, None, None] + residual.double()
    panels = ops.conv3x3_pack_weight(weight)
    close(ops.conv3x3(x, weight, panels, scale, bias, residual, 0.2), F.leaky_relu(out, 0.2))
    for actual, expected in zip(ops.conv3x3_stats(x, weight)[1:], torch.var_mean(y, (0, 2, 3), correction=0)[::-1]):
        close(actual, expected)
    exact = x.double(), weight.double(), grad.double()
    close(ops.conv3x3_input_grad(grad, weight), torch.nn.grad.conv2d_input(x.shape, exact[1], exact[2], padding=1))
    close(ops.conv3x3_weight_grad(x, grad), torch.nn.grad.conv2d_weight(exact[0], weight.shape, exact[2], padding=1))


@pytest.mark.parametrize(("size", "n", "cin", "cout"), [(4, 64, 128, 64), (8, 8, 512, 256), (9, 8, 64, 512)])
def test_no_more_error_than_documented(instruction_set: str, size: int, n: int, cin: int, cout: int) -> None:
    rng = torch.Generator().manual_seed(size)
    x, grad = random(rng, n, cin, size, size), random(rng, n, cout, size, size)
    weight = random(rng, cout, cin, 3, 3)
    exact = weight.double()
    for actual, expected in (
        (ops.conv3x3(x, weight, None, None, None, None, 1.0), F.conv2d(x.double(), exact, padding=1)),
        (ops.conv3x3_input_grad(grad, weight), torch.nn.grad.conv2d_input(x.shape, exact, grad.double(), padding=1)),
        (ops.conv3x3_weight_grad(x, grad), torch.nn.grad.conv2d_weight(x.double(), exact.shape, grad.double(),
                                                                        padding=1)),
    ):  # fmt: skip
        assert float((actual.double() - expected).abs().max() / expected.abs().max()) < 3e-6


@needs_native
@settings(deadline=None, max_examples=20)
@given(
    n=st.integers(1, 3), cin=st.integers(1, 20), cout=st.integers(1, 40), h=st.integers(1, 9), w=st.integers(1, 9),
    bias=st.booleans(), residual=st.booleans(), slope=st.sampled_from([1.0, 0.0, 0.2]), layout=st.sampled_from(LAYOUTS),
    groups=st.sampled_from([1, 1, 2, 3]),
)  # fmt: skip
def test_everything_it_fuses_and_its_gradients(
    n: int, cin: int, cout: int, h: int, w: int, bias: bool, residual: bool, slope: float, layout: str, groups: int
) -> None:
    rng = torch.Generator().manual_seed(n)
    cout *= groups
    leaves = [random(rng, n, groups * cin, h, w, layout=layout), random(rng, cout, cin, 3, 3)]
    leaves += [random(rng, cout)] if bias else []
    leaves += [random(rng, n, cout, h, w, layout=layout)] if residual else []
    leaves = [t.detach().requires_grad_() for t in leaves]
    exact = [t.detach().double().requires_grad_() for t in leaves]

    def unpack(tensors: list[Tensor]) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        return tensors[0], tensors[1], tensors[2] if bias else None, tensors[-1] if residual else None

    x, weight, b, r = unpack(leaves)
    out = conv3x3(x, weight, b, residual=r, slope=slope, groups=groups, backend="native")
    x, weight, b, r = unpack(exact)
    y = F.conv2d(x, weight, b, padding=1, groups=groups)
    y = F.leaky_relu(y if r is None else y + r, slope)
    close(out, y)
    grad = torch.where(y > 0, y, 0.0)  # where rounding may change the sign, the gradient is small
    for actual, expected in zip(torch.autograd.grad(out, leaves, grad.float()), torch.autograd.grad(y, exact, grad)):
        close(actual, expected)
    x, weight, b, r = unpack(leaves)
    with torch.no_grad():
        for _ in range(2):  # the second time with the cached weight
            close(conv3x3(x, weight, b, residual=r, slope=slope, groups=groups, backend="native"), y)


@needs_native
def test_auto_computes_what_the_reference_computes() -> None:
    torch.manual_seed(0)
    block = Conv3x3(40, 40, slope=0.1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x, residual = torch.randn(16, 40, 8, 8), torch.randn(16, 40, 8, 8)
    expected = F.leaky_relu(F.conv2d(x, block.weight, block.bias, padding=1) + residual, 0.1)
    close(block(x, residual), expected)
    assert list(block.state_dict()) == ["weight", "bias"]
    assert "slope=0.1" in repr(block)


@needs_native
@pytest.mark.parametrize(("cin", "cout"), [(3, 32), (32, 3)])
def test_auto_computes_few_channels_natively(cin: int, cout: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    block = Conv3x3(cin, cout).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(16, cin, 32, 32)
    expected = F.conv2d(x, block.weight, block.bias, padding=1)
    close(block(x), expected)  # many channels in NCHW memory are PyTorch's
    monkeypatch.setattr(reference, "conv3x3", None)
    x = x.contiguous(memory_format=torch.channels_last)
    close(block(x), expected)
    with torch.no_grad():
        close(block(x), expected)


@needs_native
def test_auto_computes_groups_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    block = Conv3x3(64, 64, groups=2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(16, 64, 8, 8)
    expected = F.conv2d(x, block.weight, block.bias, padding=1, groups=2)
    monkeypatch.setattr(reference, "conv3x3", None)
    close(block(x), expected)
    with torch.no_grad():
        close(block(x), expected)


@needs_native
@pytest.mark.parametrize("groups", [1, 3])
def test_second_derivatives_of_all_arguments(groups: int) -> None:
    rng = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 5, 4), (6, 3 // groups, 3, 3), (6,), (2, 6, 5, 4))

    def second(backend: str, dtype: torch.dtype) -> list[Tensor]:
        rng.manual_seed(0)
        x, weight, bias, residual = leaves = [random(rng, *shape).to(dtype).requires_grad_() for shape in shapes]
        y = conv3x3(x, weight, bias, residual=residual, slope=0.2, groups=groups, backend=backend)
        first = torch.autograd.grad(y.pow(3).sum(), leaves, create_graph=True)
        return list(torch.autograd.grad(sum((g * g).sum() for g in first), leaves))

    for actual, expected in zip(second("native", torch.float32), second("reference", torch.float64)):
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@needs_native
def test_threads_do_not_change_a_bit() -> None:
    rng = torch.Generator().manual_seed(0)
    x, grad, weight = random(rng, 9, 130, 9, 13), random(rng, 9, 70, 9, 13), random(rng, 70, 130, 3, 3)
    few = random(rng, 3, 130, 3, 3)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            small = ops.conv3x3(x, few, None, None, None, None, 1.0)
            results.append([small, ops.conv3x3_input_grad(small, few), ops.conv3x3_weight_grad(x, small)])
            gradients = ops.conv3x3_input_grad(grad, weight), ops.conv3x3_weight_grad(x, grad)
            results[-1] += [*ops.conv3x3_stats(x, weight), *gradients, ops.conv3x3_stats(x[:1], weight)[0]]
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@needs_native
@pytest.mark.parametrize(("grad", "groups"), [(True, 1), (False, 1), (True, 3)])
@pytest.mark.parametrize(
    "name", ["conv3x3", "conv3x3_stats", "conv3x3_input_grad", "conv3x3_weight_grad", "conv3x3_pack_weight"]
)
def test_opcheck(name: str, grad: bool, groups: int) -> None:
    rng = torch.Generator().manual_seed(1)
    shapes = ((2, 3, 5, 4), (2, 6, 5, 4), (6, 3 // groups, 3, 3), (6,))
    x, y, weight, bias = (random(rng, *shape).requires_grad_(grad) for shape in shapes)
    arguments: dict[str, tuple[Any, ...]] = {
        "conv3x3": (x, weight, None, None, bias, y, 0.2, groups),
        "conv3x3_stats": (x[:, : 3 // groups], weight),
        "conv3x3_input_grad": (y, weight, groups),
        "conv3x3_weight_grad": (x, y, groups),
        "conv3x3_pack_weight": (weight.detach(), groups),
    }
    torch.library.opcheck(getattr(ops, name).default, arguments[name])


X, W, Y = torch.zeros(2, 3, 4, 5), torch.zeros(6, 3, 3, 3), torch.zeros(2, 6, 4, 5)
BAD: dict[str, tuple[str, tuple[Any, ...]]] = {
    "channels": ("conv3x3", (Y, W, None, None, None, None, 1.0)),
    "kernel": ("conv3x3", (X, W[..., :2], None, None, None, None, 1.0)),
    "dtype": ("conv3x3", (X.double(), W, None, None, None, None, 1.0)),
    "residual": ("conv3x3", (X, W, None, None, None, X, 1.0)),
    "packed": ("conv3x3", (X, W, torch.zeros(7), None, None, None, 1.0)),
    "scale": ("conv3x3", (X, W, None, torch.zeros(3), None, None, 1.0)),
    "no pixels": ("conv3x3", (X[..., :0], W, None, None, None, None, 1.0)),
    "empty statistics": ("conv3x3_stats", (X[:0], W)),
    "grad": ("conv3x3_input_grad", (X, W)),
    "batches": ("conv3x3_weight_grad", (X, Y[:1])),
    "sizes": ("conv3x3_weight_grad", (X, Y[..., :4])),
    "no channels": ("conv3x3_pack_weight", (W[:0],)),
    "no groups": ("conv3x3", (X, W, None, None, None, None, 1.0, 0)),
    "groups of outputs": ("conv3x3_pack_weight", (W, 4)),
    "groups of inputs": ("conv3x3", (X, W, None, None, None, None, 1.0, 3)),
    "groups of the gradient": ("conv3x3_input_grad", (X, W, 3)),
    "groups of channels": ("conv3x3_weight_grad", (X, Y, 2)),
    "huge weight": ("conv3x3_pack_weight", (torch.zeros(1, 1, 1, 1).expand(1 << 50, 1, 3, 3),)),
}


@needs_native
@pytest.mark.parametrize("case", BAD)
def test_invalid_arguments_are_refused(case: str) -> None:
    name, arguments = BAD[case]
    with pytest.raises((RuntimeError, NotImplementedError)):
        getattr(ops, name)(*arguments)


@needs_native
def test_an_empty_batch_is_empty() -> None:
    assert ops.conv3x3(X[:0], W, None, None, None, None, 1.0).shape == (0, 6, 4, 5)
    assert torch.equal(ops.conv3x3_weight_grad(X[:0], Y[:0]), torch.zeros(6, 3, 3, 3))


@needs_native
def test_native_says_why_it_cannot() -> None:
    for why, arguments, options in (
        ("slope=-1 is negative", (X, W), {"slope": -1}),
        ("the residual has another shape", (X, W), {"residual": X}),
        ("float32", (X, W), {"residual": Y.double()}),
        ("the bias is for another number", (X, W, torch.zeros(5)), {}),
        ("for 9 input channels", (X, W), {"groups": 3}),
        ("divided into 4 groups", (X, W[:, :1]), {"groups": 4}),
        ("kernel 3, stride 1, padding 1", (X, torch.zeros(6, 3, 5, 5)), {}),
    ):
        with pytest.raises(NativeError, match=why):
            conv3x3(*arguments, **options, backend="native")
    with pytest.raises(NativeError, match="kernel 4, stride 2"):
        conv_leaky_relu(X, W, None, stride=1, padding=0, backend="native")
