"""The filter [1, 3, 3, 1]: the operator in each instruction set, and the function."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganzoo import ops as public
from ganzoo.ops import NativeError, blur, reference
from tests.ops.conftest import LAYOUTS, close, needs_native, random
from tests.ops.test_kernels import over_shapes

ops = torch.ops.ganzoo


def exact(x: Tensor, padding: int, gain: float) -> Tensor:
    """The filter in float64, by one axis after the other."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.double) / 8
    maps = x.double().flatten(0, 1)[:, None]
    maps = F.conv2d(maps, row.view(1, 1, 4, 1), padding=(padding, 0))
    maps = F.conv2d(maps, row.view(1, 1, 1, 4), padding=(0, padding))
    return gain * maps[:, 0].unflatten(0, x.shape[:2])


@over_shapes
@given(n=st.integers(1, 3), c=st.integers(1, 40), h=st.integers(4, 12), w=st.integers(4, 12),
       padding=st.integers(0, 3), gain=st.sampled_from([1.0, 4.0]), layout=st.sampled_from(LAYOUTS))  # fmt: skip
def test_the_operator_and_its_adjoint_against_float64(
    instruction_set: str, n: int, c: int, h: int, w: int, padding: int, gain: float, layout: str
) -> None:
    rng = torch.Generator().manual_seed(h)
    x = random(rng, n, c, h, w, layout=layout)
    out = ops.blur(x, padding, gain)
    close(out, exact(x, padding, gain))
    grad = random(rng, *out.shape, layout=layout)
    back = ops.blur(grad, 3 - padding, gain)
    torch.testing.assert_close((out.double() * grad).sum(), (x.double() * back).sum(), rtol=1e-4, atol=1e-3)


@needs_native
def test_the_same_bits_for_any_number_of_threads() -> None:
    x, before, results = torch.randn(3, 20, 17, 15), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(ops.blur(x, 2, 1.0))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_first_and_second_derivatives_and_memory_format(padding: int, layout: str) -> None:
    x = random(torch.Generator().manual_seed(0), 2, 16, 40, 36, layout=layout)

    def derivatives(x: Tensor, backend: str) -> list[Tensor]:
        x = x.detach().requires_grad_()
        out = blur(x, padding, 4.0, backend=backend)
        (first,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        return [out, first, *torch.autograd.grad(first.square().sum(), x)]

    for backend in ("auto", "reference"):
        actual = derivatives(x, backend)
        assert actual[0].stride() == derivatives(x, "reference")[0].stride()
        for tensor, expected in zip(actual, derivatives(x.double(), "reference")):
            torch.testing.assert_close(
                tensor.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.detach().abs().max())
            )


@needs_native
def test_auto_filters_channels_last_maps_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 16, 40, 36).contiguous(memory_format=torch.channels_last)
    expected = exact(x, 2, 1.0)
    monkeypatch.setattr(reference, "blur", None)
    close(blur(x, 2), expected)


@needs_native
def test_the_dtype_under_autocast_is_that_of_pytorch() -> None:
    x = torch.randn(2, 16, 40, 36).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out, expected = blur(x, 2), blur(x, 2, backend="reference")
    assert out.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(out, expected, rtol=0.02, atol=0.02)


@needs_native
def test_compiled_without_graph_breaks() -> None:
    x = torch.randn(2, 16, 40, 36).contiguous(memory_format=torch.channels_last).requires_grad_()
    compiled = torch.compile(blur, fullgraph=True, backend="aot_eager")
    close(
        torch.autograd.grad(compiled(x, 1).square().sum(), x)[0], torch.autograd.grad(blur(x, 1).square().sum(), x)[0]
    )
    torch.compiler.reset()


@needs_native
@pytest.mark.parametrize("grad", [True, False])
def test_opcheck(grad: bool) -> None:
    torch.library.opcheck(ops.blur.default, (torch.randn(2, 3, 7, 5, requires_grad=grad), 1, 4.0))


@needs_native
def test_an_empty_batch_is_empty() -> None:
    assert ops.blur(torch.zeros(0, 3, 8, 8), 1, 1.0).shape == (0, 3, 7, 7)


@needs_native
@pytest.mark.parametrize(
    ("shape", "padding", "why"),
    [((2, 3, 8, 8), 4, "padding"), ((2, 3, 8, 8), -1, "padding"), ((2, 3, 3, 8), 0, "smaller"), ((3, 8, 8), 1, "dim")],
)
def test_invalid_arguments_are_refused(shape: tuple[int, ...], padding: int, why: str) -> None:
    with pytest.raises(RuntimeError, match=f"ganzoo: .*{why}"):
        ops.blur(torch.zeros(shape), padding, 1.0)
    with public.use_backend("native"), pytest.raises(NativeError):
        blur(torch.zeros(shape), padding)
