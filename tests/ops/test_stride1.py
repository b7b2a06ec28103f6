"""3x3 and 4x4 convolutions with stride 1: the operators in each instruction set, and functions with what they fuse."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ganzoo.nn import Conv3x3, ConvBNLeakyReLU
from ganzoo.ops import NativeError, conv3x3, conv_leaky_relu, reference, use_backend
from tests.ops.conftest import LAYOUTS, close, needs_native, random
from tests.ops.test_kernels import over_shapes

ops = torch.ops.ganzoo


@over_shapes
@given(n=st.sampled_from([1, 2, 5]), cin=st.integers(1, 70), cout=st.integers(1, 70), h=st.integers(2, 10),
       w=st.integers(1, 10), kernel=st.sampled_from([3, 4]), layout=st.sampled_from(LAYOUTS),
       of_weight=st.sampled_from(LAYOUTS))  # fmt: skip
def test_operators_against_float64(
    instruction_set: str, n: int, cin: int, cout: int, h: int, w: int, kernel: int, layout: str, of_weight: str
) -> None:
    rng = torch.Generator().manual_seed(n)
    x, grad = (
        random(rng, n, cin, h, w + kernel - 3, layout=layout),
        random(rng, n, cout, h + 3 - kernel, w, layout=layout),
    )
    weight = random(rng, cout, cin, kernel, kernel, layout=of_weight)
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    y, mean, var = ops.conv_stride1_stats(x, weight)
    close(y, exact)
    for actual, expected in zip((var, mean), torch.var_mean(exact, (0, 2, 3), correction=0)):
        close(actual, expected)
    assert torch.equal(ops.conv_stride1(x, weight, ops.conv_stride1_pack_weight(weight), None, None, None, 1.0), y)
    close(
        ops.conv_stride1_input_grad(grad, weight),
        torch.nn.grad.conv2d_input(x.shape, weight.double(), grad.double(), padding=1),
    )
    close(
        ops.conv_stride1_weight_grad(x, grad),
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
    panels = ops.conv_stride1_pack_weight(weight)
    close(ops.conv_stride1(x, weight, panels, scale, bias, residual, 0.2), F.leaky_relu(out, 0.2))
    for actual, expected in zip(
        ops.conv_stride1_stats(x, weight)[1:], torch.var_mean(y, (0, 2, 3), correction=0)[::-1]
    ):
        close(actual, expected)
    exact = x.double(), weight.double(), grad.double()
    close(ops.conv_stride1_input_grad(grad, weight), torch.nn.grad.conv2d_input(x.shape, exact[1], exact[2], padding=1))
    close(
        ops.conv_stride1_weight_grad(x, grad), torch.nn.grad.conv2d_weight(exact[0], weight.shape, exact[2], padding=1)
    )


@pytest.mark.parametrize(("kernel", "bound"), [(3, 3e-6), (4, 8e-6)])
@pytest.mark.parametrize(("size", "n", "cin", "cout"), [(4, 64, 128, 64), (8, 8, 512, 256), (9, 8, 64, 512)])
def test_no_more_error_than_documented(
    instruction_set: str, size: int, n: int, cin: int, cout: int, kernel: int, bound: float
) -> None:
    rng = torch.Generator().manual_seed(size)
    result = size + 3 - kernel
    x, grad = random(rng, n, cin, size, size), random(rng, n, cout, result, result)
    weight = random(rng, cout, cin, kernel, kernel)
    exact = x.double(), weight.double(), grad.double()
    for actual, expected in (
        (ops.conv_stride1(x, weight, None, None, None, None, 1.0), F.conv2d(*exact[:2], padding=1)),
        (ops.conv_stride1_input_grad(grad, weight), torch.nn.grad.conv2d_input(x.shape, *exact[1:], padding=1)),
        (ops.conv_stride1_weight_grad(x, grad), torch.nn.grad.conv2d_weight(exact[0], weight.shape, exact[2],
                                                                            padding=1)),
    ):  # fmt: skip
        assert float((actual.double() - expected).abs().max() / expected.abs().max()) < bound


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
@pytest.mark.parametrize("norm", [True, False])
def test_auto_computes_patch_gans_last_block(norm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    block = ConvBNLeakyReLU(32, 48, norm, stride=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(16, 32, 8, 8, requires_grad=True)
    parameters = [x, *block.parameters()]

    def forward_and_gradients() -> list[Tensor]:
        out = block(x)
        return [out, *torch.autograd.grad(out.pow(3).sum(), parameters)]

    with use_backend("reference"):
        expected = forward_and_gradients()
    monkeypatch.setattr(reference, "conv_bn_leaky_relu", None)
    monkeypatch.setattr(reference, "conv_leaky_relu", None)
    for actual, wanted in zip(forward_and_gradients(), expected):
        close(actual, wanted.double())
    modules = list(block.eval())
    exact = F.leaky_relu(nn.Sequential(*modules[:-1])(x), 0.2)
    with torch.no_grad():
        close(block(x), exact.double())


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
def test_second_derivatives_of_kernel_4() -> None:
    def second(backend: str, dtype: torch.dtype) -> list[Tensor]:
        rng = torch.Generator().manual_seed(0)
        shapes = ((2, 3, 5, 4), (6, 3, 4, 4), (6,))
        x, weight, bias = leaves = [random(rng, *shape).to(dtype).requires_grad_() for shape in shapes]
        y = conv_leaky_relu(x, weight, bias, stride=1, backend=backend)
        first = torch.autograd.grad(y.pow(3).sum(), leaves, create_graph=True)
        return list(torch.autograd.grad(sum((g * g).sum() for g in first), leaves))

    for actual, expected in zip(second("native", torch.float32), second("reference", torch.float64)):
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@needs_native
@pytest.mark.parametrize("kernel", [3, 4])
def test_threads_do_not_change_a_bit(kernel: int) -> None:
    rng = torch.Generator().manual_seed(0)
    x, weight = random(rng, 9, 130, 9, 13), random(rng, 70, 130, kernel, kernel)
    grad = random(rng, 9, 70, 12 - kernel, 16 - kernel)
    few = random(rng, 3, 130, kernel, kernel)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            small = ops.conv_stride1(x, few, None, None, None, None, 1.0)
            results.append([small, ops.conv_stride1_input_grad(small, few), ops.conv_stride1_weight_grad(x, small)])
            gradients = ops.conv_stride1_input_grad(grad, weight), ops.conv_stride1_weight_grad(x, grad)
            results[-1] += [*ops.conv_stride1_stats(x, weight), *gradients, ops.conv_stride1_stats(x[:1], weight)[0]]
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@needs_native
@pytest.mark.parametrize(("grad", "groups", "kernel"), [(True, 1, 3), (False, 1, 3), (True, 3, 3), (True, 1, 4)])
@pytest.mark.parametrize(
    "name",
    [
        "conv_stride1",
        "conv_stride1_stats",
        "conv_stride1_input_grad",
        "conv_stride1_weight_grad",
        "conv_stride1_pack_weight",
    ],
)
def test_opcheck(name: str, grad: bool, groups: int, kernel: int) -> None:
    rng = torch.Generator().manual_seed(1)
    shapes = ((2, 3, 5, 4), (2, 6, 8 - kernel, 7 - kernel), (6, 3 // groups, kernel, kernel), (6,))
    x, y, weight, bias = (random(rng, *shape).requires_grad_(grad) for shape in shapes)
    arguments: dict[str, tuple[Any, ...]] = {
        "conv_stride1": (x, weight, None, None, bias, y, 0.2, groups),
        "conv_stride1_stats": (x[:, : 3 // groups], weight),
        "conv_stride1_input_grad": (y, weight, groups),
        "conv_stride1_weight_grad": (x, y, groups),
        "conv_stride1_pack_weight": (weight.detach(), groups),
    }
    torch.library.opcheck(getattr(ops, name).default, arguments[name])


X, W, Y = torch.zeros(2, 3, 4, 5), torch.zeros(6, 3, 3, 3), torch.zeros(2, 6, 4, 5)
BAD: dict[str, tuple[str, tuple[Any, ...]]] = {
    "channels": ("conv_stride1", (Y, W, None, None, None, None, 1.0)),
    "kernel": ("conv_stride1", (X, W[..., :2], None, None, None, None, 1.0)),
    "dtype": ("conv_stride1", (X.double(), W, None, None, None, None, 1.0)),
    "residual": ("conv_stride1", (X, W, None, None, None, X, 1.0)),
    "packed": ("conv_stride1", (X, W, torch.zeros(7), None, None, None, 1.0)),
    "scale": ("conv_stride1", (X, W, None, torch.zeros(3), None, None, 1.0)),
    "no pixels": ("conv_stride1", (X[..., :0], W, None, None, None, None, 1.0)),
    "empty statistics": ("conv_stride1_stats", (X[:0], W)),
    "grad": ("conv_stride1_input_grad", (X, W)),
    "batches": ("conv_stride1_weight_grad", (X, Y[:1])),
    "sizes": ("conv_stride1_weight_grad", (X, Y[..., :4])),
    "a larger gradient": ("conv_stride1_weight_grad", (X[:, :, :3, :4], Y)),
    "a gradient without pixels": ("conv_stride1_weight_grad", (X[..., :1, :1], Y[..., :0, :0])),
    "smaller than kernel 4": ("conv_stride1", (X[..., :1, :], torch.zeros(6, 3, 4, 4), None, None, None, None, 1.0)),
    "residual of kernel 4": ("conv_stride1", (X, torch.zeros(6, 3, 4, 4), None, None, None, Y, 1.0)),
    "kernels of two sizes": ("conv_stride1", (X, torch.zeros(6, 3, 3, 4), None, None, None, None, 1.0)),
    "no channels": ("conv_stride1_pack_weight", (W[:0],)),
    "no groups": ("conv_stride1", (X, W, None, None, None, None, 1.0, 0)),
    "groups of outputs": ("conv_stride1_pack_weight", (W, 4)),
    "groups of inputs": ("conv_stride1", (X, W, None, None, None, None, 1.0, 3)),
    "groups of the gradient": ("conv_stride1_input_grad", (X, W, 3)),
    "groups of channels": ("conv_stride1_weight_grad", (X, Y, 2)),
    "huge weight": ("conv_stride1_pack_weight", (torch.zeros(1, 1, 1, 1).expand(1 << 50, 1, 3, 3),)),
}


@needs_native
@pytest.mark.parametrize("case", BAD)
def test_invalid_arguments_are_refused(case: str) -> None:
    name, arguments = BAD[case]
    with pytest.raises((RuntimeError, NotImplementedError)):
        getattr(ops, name)(*arguments)


@needs_native
def test_an_empty_batch_is_empty() -> None:
    assert ops.conv_stride1(X[:0], W, None, None, None, None, 1.0).shape == (0, 6, 4, 5)
    assert torch.equal(ops.conv_stride1_weight_grad(X[:0], Y[:0]), torch.zeros(6, 3, 3, 3))


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
    with pytest.raises(NativeError, match="smaller than the kernel"):
        conv_leaky_relu(X[..., :1, :], torch.zeros(6, 3, 4, 4), None, stride=1, backend="native")
    with pytest.raises(NativeError, match="kernel 4, stride 2"):
        conv_leaky_relu(X, W, None, stride=1, padding=0, backend="native")


@needs_native
def test_compiling_for_inference_has_no_warning() -> None:
    torch.compiler.reset()  # forgets what it has warned about
    rng = torch.Generator().manual_seed(0)
    x, weight = random(rng, 2, 32, 8, 8), random(rng, 32, 32, 3, 3)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = torch.compile(lambda x: conv3x3(x, weight, backend="native"), fullgraph=True, backend="eager")
        close(compiled(x), F.conv2d(x.double(), weight.double(), padding=1))
