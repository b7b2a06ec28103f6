"""3x3 convolutions after upsampling and before pooling, computed as 4x4 convolutions with stride 2."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganzoo import ops
from ganzoo.nn import ConvDownsample2d, UpsampleConv2d
from ganzoo.ops import NativeError, reference
from ganzoo.ops.resample import strided_kernel, transposed_kernel
from tests.ops.conftest import LAYOUTS, close, needs_native, random

FUNCTIONS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "up": (ops.upsample_conv, reference.upsample_conv),
    "down": (ops.conv_downsample, reference.conv_downsample),
}
both = pytest.mark.parametrize("kind", FUNCTIONS)


def test_the_identities_hold_to_the_precision_of_float64() -> None:
    rng = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(*shape, dtype=torch.float64, generator=rng) for shape in ((2, 5, 6, 9), (7, 5, 3, 3)))
    box_sums = F.conv2d(weight.view(-1, 1, 3, 3), torch.ones(1, 1, 2, 2).double(), padding=1).view(7, 5, 4, 4)
    torch.testing.assert_close(strided_kernel(weight), box_sums / 4, rtol=0, atol=1e-15)
    torch.testing.assert_close(transposed_kernel(weight), box_sums.flip(2, 3).transpose(0, 1), rtol=0, atol=1e-15)
    up = F.conv_transpose2d(x, transposed_kernel(weight), stride=2, padding=1)
    torch.testing.assert_close(up, reference.upsample_conv(x, weight, None), rtol=0, atol=1e-13)
    down = F.conv2d(x, strided_kernel(weight), stride=2, padding=1)
    torch.testing.assert_close(down, reference.conv_downsample(x, weight, None), rtol=0, atol=1e-13)


@needs_native
@both
@settings(deadline=None, max_examples=30)
@given(
    n=st.sampled_from([1, 2, 9, 25]), cin=st.integers(1, 40), cout=st.integers(1, 70), h=st.integers(2, 9),
    w=st.integers(2, 9), bias=st.booleans(), layout=st.sampled_from(LAYOUTS), of_weight=st.sampled_from(LAYOUTS),
)  # fmt: skip
def test_values_and_gradients_match_float64(
    kind: str, n: int, cin: int, cout: int, h: int, w: int, bias: bool, layout: str, of_weight: str
) -> None:
    rng = torch.Generator().manual_seed(n)
    leaves = [random(rng, n, cin, h, w, layout=layout), random(rng, cout, cin, 3, 3, layout=of_weight)]
    leaves += [random(rng, cout)] if bias else []
    leaves = [t.detach().requires_grad_() for t in leaves]
    exact = [t.detach().double().requires_grad_() for t in leaves]
    function, plain = FUNCTIONS[kind]
    out, expected = function(*leaves, backend="native"), plain(*exact, *([] if bias else [None]))
    close(out, expected)
    grad = random(rng, *out.shape)
    gradients = torch.autograd.grad(out, leaves, grad)
    for actual, correct in zip(gradients, torch.autograd.grad(expected, exact, grad.double())):
        close(actual, correct)
    with torch.no_grad():
        for _ in range(2):  # the second time with the cached weight
            close(function(*leaves, backend="native"), expected)


@needs_native
@both
def test_native_says_why_it_cannot(kind: str) -> None:
    function, _ = FUNCTIONS[kind]
    x, weight = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 3, 3)
    for arguments, why in (
        ((x.double(), weight.double()), "float32"),
        ((x[0], weight), "four dimensions"),
        ((x, weight[..., :2]), "kernel 3"),
        ((x[:, :2], weight), "there are 2"),
        ((x, weight, torch.ones(4)), "bias"),
        ((x[:0], weight), "nothing to compute"),
    ):
        with pytest.raises(NativeError, match=why):
            function(*arguments, backend="native")
    if kind == "down":
        with pytest.raises(NativeError, match="too small"):
            function(x[..., :1], weight, backend="native")


@both
def test_an_image_without_a_batch(kind: str) -> None:
    function, _ = FUNCTIONS[kind]
    x, weight = torch.randn(3, 4, 6), torch.randn(5, 3, 3, 3)
    assert torch.equal(function(x, weight), function(x[None], weight)[0])


@pytest.mark.parametrize("block", [UpsampleConv2d, ConvDownsample2d])
def test_weights_are_those_of_a_3x3_convolution(block: type[nn.Conv2d]) -> None:
    layer, plain = block(40, 40), nn.Conv2d(40, 40, 3, padding=1)  # type: ignore[call-arg]
    layer.load_state_dict(plain.state_dict())
    x = torch.randn(16, 40, 16, 16).contiguous(memory_format=torch.channels_last)
    resized = plain(F.interpolate(x, scale_factor=2.0)) if block is UpsampleConv2d else F.avg_pool2d(plain(x), 2)
    close(layer(x), resized)  # large enough for the kernels


@needs_native
@pytest.mark.parametrize("block", [UpsampleConv2d, ConvDownsample2d])
def test_spectral_norm_is_that_of_the_3x3_weight(block: type[nn.Conv2d]) -> None:
    torch.manual_seed(0)
    layer = spectral_norm(block(6, 7))  # type: ignore[call-arg]
    x = torch.randn(2, 6, 8, 8)
    layer.eval()
    with ops.use_backend("reference"):
        expected = layer(x)
    with ops.use_backend("native"):
        close(layer(x), expected)
        layer(x).square().sum().backward()
    assert layer.parametrizations.weight.original.grad.shape == (7, 6, 3, 3)  # type: ignore[union-attr]
