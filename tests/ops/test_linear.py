from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo.core.errors import GanzooError
from ganzoo.ops import linear
from ganzoo.ops.linear import min_work, min_work_on, mkl_is_fast
from tests.conftest import Command
from tests.ops.conftest import Recorder, needs_native


@needs_native
@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 70), inputs=st.integers(1, 130), outputs=st.integers(1, 90), bias=st.booleans(),
    seed=st.integers(0, 9), layout=st.sampled_from(["contiguous", "transposed", "strided", "expanded"]),
)  # fmt: skip
def test_against_float64(n: int, inputs: int, outputs: int, bias: bool, seed: int, layout: str) -> None:
    rng = torch.Generator().manual_seed(seed)
    x, weight = torch.randn(n, inputs, generator=rng), torch.randn(outputs, inputs, generator=rng)
    if layout == "transposed":
        x, weight = x.t().contiguous().t(), weight.t().contiguous().t()
    elif layout == "strided":
        x = torch.randn(n, 2 * inputs, generator=rng)[:, ::2]
    elif layout == "expanded":
        x = torch.randn(1, inputs, generator=rng).expand(n, inputs)
    b = torch.randn(outputs, generator=rng) if bias else None
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    y = linear(x, weight, b, backend="native")
    exact_x, exact_weight = x.detach().double().requires_grad_(), weight.detach().double().requires_grad_()
    exact = F.linear(exact_x, exact_weight, None if b is None else b.double())
    grad = torch.randn(n, outputs, generator=rng)
    y.backward(grad)
    exact.backward(grad.double())
    for actual, expected in ((y, exact), (x.grad, exact_x.grad), (weight.grad, exact_weight.grad)):
        torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-4)


@needs_native
def test_second_derivatives_match_the_reference() -> None:
    torch.manual_seed(0)
    x, weight, b = torch.randn(16, 30), torch.randn(20, 30), torch.randn(20)

    def second(layer: object) -> list[torch.Tensor]:
        leaves = [t.clone().requires_grad_() for t in (x, weight, b)]
        y = layer(*leaves).tanh().square().sum()  # type: ignore[operator]
        (first,) = torch.autograd.grad(y, leaves[0], create_graph=True)
        return list(torch.autograd.grad(first.square().sum(), leaves))

    for actual, expected in zip(second(partial(linear, backend="native")), second(F.linear)):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-3)


def test_large_products_agree_with_the_reference_through_the_public_function() -> None:
    torch.manual_seed(0)
    x, weight, b = torch.randn(64, 512), torch.randn(256, 512), torch.randn(256)
    torch.testing.assert_close(linear(x, weight, b), F.linear(x, weight, b), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_go_to_the_reference(dtype: torch.dtype) -> None:
    x, weight = torch.randn(64, 512, dtype=dtype), torch.randn(256, 512, dtype=dtype)
    assert torch.equal(linear(x, weight), F.linear(x, weight))


def test_autocast_is_respected() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(torch.randn(64, 512), torch.randn(256, 512)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("x", "weight", "bias"),
    [((64, 511), (256, 512), None), ((64, 512), (256, 512), (255,)), ((2, 64, 3), (256, 512), None)],
)
def test_bad_shapes_raise_as_pytorch_does(
    x: tuple[int, ...], weight: tuple[int, ...], bias: tuple[int, ...] | None
) -> None:
    with pytest.raises(RuntimeError):
        linear(torch.randn(x), torch.randn(weight), None if bias is None else torch.randn(bias))


def test_more_dimensions_work() -> None:
    x, weight = torch.randn(3, 64, 512), torch.randn(256, 512)
    assert torch.equal(linear(x, weight), F.linear(x, weight))


def test_an_empty_batch_works() -> None:
    assert linear(torch.randn(0, 512), torch.randn(256, 512)).shape == (0, 256)


@pytest.mark.parametrize("backend", ["auto", "reference", pytest.param("native", marks=needs_native)])
def test_torch_compile_has_no_graph_break(backend: str) -> None:
    compiled = torch.compile(lambda x, w: linear(x, w, backend=backend).relu(), fullgraph=True, backend="aot_eager")
    x, weight = torch.randn(64, 512, requires_grad=True), torch.randn(256, 512, requires_grad=True)
    actual, expected = compiled(x, weight), F.linear(x, weight).relu()
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)
    grads = [torch.autograd.grad(y.sum(), (x, weight)) for y in (actual, expected)]
    for ours, theirs in zip(*grads):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("x", "weight", "reason"),
    [
        (torch.zeros(2, 3).double(), torch.zeros(4, 3).double(), "float32"),
        (torch.zeros(2, 5, 3), torch.zeros(4, 3), "matrices"),
    ],
)
def test_native_raises_with_the_cause(x: torch.Tensor, weight: torch.Tensor, reason: str) -> None:
    with pytest.raises(GanzooError, match=reason):
        linear(x, weight, backend="native")


def test_auto_leaves_more_to_mkl_where_avx2_reaches_the_peak() -> None:
    assert (min_work_on("AuthenticAMD", 25), min_work_on("AuthenticAMD", 26)) == (1 << 23, 1 << 19)


@needs_native
@pytest.mark.skipif(mkl_is_fast(), reason="PyTorch computes all layers here")
def test_auto_uses_the_kernel_from_the_number_of_multiplications_on_that_doctor_shows(ganzoo_cli: Command) -> None:
    assert f"native from {min_work():,} multiplications on" in ganzoo_cli("doctor").out
    weight = torch.randn(1024, min_work() // 1024 // 8)
    for rows, native in ((8, True), (7, False)):
        with Recorder() as recorder:
            linear(torch.randn(rows, weight.shape[1]), weight)
        assert ("ganzoo::matmul" in recorder.names) == native
