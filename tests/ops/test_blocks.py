"""The fused blocks against the reference and float64: training, inference, derivatives, backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ganzoo import ops
from ganzoo.nn import (
    Conv3x3,
    ConvBNLeakyReLU,
    ConvDownsample2d,
    ConvTransposeBNReLU,
    ConvTransposeTanh,
    UpsampleConv2d,
)
from ganzoo.ops import NativeError, cpu_library
from tests.ops.conftest import LAYOUTS, close, needs_native, random, shaken

BLOCKS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...]]] = {
    "up": (lambda: ConvTransposeBNReLU(9, 20), (3, 9, 4, 5)),
    "first": (lambda: ConvTransposeBNReLU(9, 20, 4, 1, 0), (3, 9, 1, 1)),
    "down": (lambda: ConvBNLeakyReLU(9, 20), (3, 9, 7, 8)),
    "plain": (lambda: ConvBNLeakyReLU(9, 20, norm=False), (3, 9, 7, 8)),
    "image": (lambda: ConvBNLeakyReLU(3, 20, norm=False), (3, 3, 7, 8)),
    "last": (lambda: nn.Sequential(ConvTransposeTanh(9, 3)), (3, 9, 4, 5)),
    "same": (lambda: ConvBNLeakyReLU(9, 20, kernel_size=3, stride=1), (3, 9, 7, 8)),
    "patch": (lambda: ConvBNLeakyReLU(9, 20, stride=1), (3, 9, 7, 8)),
    "groups": (lambda: nn.Sequential(Conv3x3(8, 20, groups=4)), (3, 8, 7, 8)),
    "same, plain": (lambda: nn.Sequential(Conv3x3(9, 20)), (3, 9, 7, 8)),
    "upsample": (lambda: nn.Sequential(UpsampleConv2d(9, 20)), (3, 9, 4, 5)),
    "downsample": (lambda: nn.Sequential(ConvDownsample2d(9, 20)), (3, 9, 7, 8)),
}


class PlainUpsample(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.interpolate(input, scale_factor=2.0))


class PlainDownsample(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(super().forward(input), 2)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    Conv3x3: nn.Conv2d,
    ConvTransposeTanh: nn.ConvTranspose2d,
    UpsampleConv2d: PlainUpsample,
    ConvDownsample2d: PlainDownsample,
}
every_block = pytest.mark.parametrize("kind", BLOCKS)


def plain(block: nn.Sequential) -> nn.Sequential:
    """A float64 copy that runs the same modules one after the other."""
    last = [nn.Tanh()] if isinstance(block[-1], ConvTransposeTanh) else []
    kinds = [PLAIN.get(type(m), type(m)) for m in block]
    copy = nn.Sequential(*(kind(**arguments(m)) for kind, m in zip(kinds, block)), *last).double()
    copy.load_state_dict(block.state_dict())
    return copy.train(block.training)


def arguments(module: nn.Module) -> dict[str, Any]:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        names = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "groups"]
        return {name: getattr(module, name) for name in names} | {"bias": module.bias is not None}
    if isinstance(module, nn.BatchNorm2d):
        return {name: getattr(module, name) for name in ("num_features", "momentum", "affine", "track_running_stats")}
    return {"negative_slope": module.negative_slope} if isinstance(module, nn.LeakyReLU) else {}


def make(kind: str, training: bool = True) -> tuple[nn.Sequential, Tensor]:
    build, shape = BLOCKS[kind]
    block = shaken(build()).train(training)
    assert isinstance(block, nn.Sequential)
    return block, random(torch.Generator().manual_seed(3), *shape)


def gradients(block: nn.Sequential, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    out = block(x)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return [out, *torch.autograd.grad((out * weights).sum(), [x, *block.parameters()])]


@needs_native
@every_block
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_gradients_and_statistics_match_float64(kind: str, training: bool, layout: str) -> None:
    block, x = make(kind, training)
    x = random(torch.Generator().manual_seed(4), *x.shape, layout=layout)
    exact = plain(block)
    with ops.use_backend("native"):
        actual = gradients(block, x)
    for tensor, expected in zip(actual, gradients(exact, x.double())):
        close(tensor, expected)
    for name, tensor in exact.state_dict().items():
        close(block.state_dict()[name], tensor)


@needs_native
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.sampled_from([1, 2, 9, 25]), cin=st.integers(1, 40), cout=st.integers(1, 70), h=st.integers(1, 6),
       w=st.integers(1, 6), layout=st.sampled_from(LAYOUTS), up=st.booleans())  # fmt: skip
def test_shapes(n: int, cin: int, cout: int, h: int, w: int, layout: str, up: bool) -> None:
    block = shaken((ConvTransposeBNReLU if up else ConvBNLeakyReLU)(cin, cout))
    x = random(torch.Generator().manual_seed(n), n, cin, *((h, w) if up else (h + 3, w + 1)), layout=layout)
    assert isinstance(block, nn.Sequential)
    exact = plain(block.eval())
    with ops.use_backend("native"), torch.no_grad():
        close(block(x), exact(x.double()))


@needs_native
@pytest.mark.parametrize("kind", ["up", "first", "down", "same"])
@pytest.mark.parametrize(
    "change",
    [{"momentum": None}, {"momentum": 0.3}, {"affine": False}, {"track_running_stats": False}],
    ids=str,
)
def test_every_kind_of_batch_norm(kind: str, change: dict[str, Any]) -> None:
    block, x = make(kind)
    block[1] = nn.BatchNorm2d(20, **change)
    exact = plain(block)
    with ops.use_backend("native"):
        for training in (True, True, False):
            close(block.train(training)(x), exact.train(training)(x.double()))
    assert list(block.state_dict()) == list(exact.state_dict())
    for name, tensor in exact.state_dict().items():
        close(block.state_dict()[name], tensor)


@needs_native
@every_block
def test_second_derivatives_match_float64(kind: str) -> None:
    block, x = make(kind)

    def second(network: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        x = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(network(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), [x, *network.parameters()], allow_unused=True)

    with ops.use_backend("native"):
        actual = second(block, x)
    for tensor, expected in zip(actual, second(plain(block), x.double())):
        assert (tensor is None) == (expected is None)
        if tensor is not None:
            scale = float(expected.abs().max())
            torch.testing.assert_close(tensor.double(), expected, rtol=1e-3, atol=1e-4 * max(scale, 1e-3))


@every_block
def test_the_reference_passes_gradcheck_and_gradgradcheck(kind: str) -> None:
    build, shape = BLOCKS[kind]
    block = shaken(build()).double()
    x = random(torch.Generator().manual_seed(5), 2, 2, *shape[2:]).double().requires_grad_()
    conv = block[0]
    conv.weight = nn.Parameter(conv.weight[:2, :2].clone())
    norm = [torch.rand(2, dtype=torch.float64).add(0.5).requires_grad_() for _ in range(2)]
    functions = {
        "up": lambda x, w, a, b: ops.conv_transpose_bn_relu(x, w, a, b, None, None, stride=2, padding=1, **OPTIONS),
        "first": lambda x, w, a, b: ops.conv_transpose_bn_relu(x, w, a, b, None, None, stride=1, padding=0, **OPTIONS),
        "down": lambda x, w, a, b: ops.conv_bn_leaky_relu(x, w, a, b, None, None, **OPTIONS),
        "plain": lambda x, w, a, b: ops.conv_leaky_relu(x, w, a + b),
        "image": lambda x, w, a, b: ops.conv_leaky_relu(x, w, a - b),
        "last": lambda x, w, a, b: ops.conv_transpose_tanh(x, w, a + b),
        "same": lambda x, w, a, b: ops.conv_bn_leaky_relu(x, w, a, b, None, None, stride=1, **OPTIONS),
        "patch": lambda x, w, a, b: ops.conv_bn_leaky_relu(x, w, a, b, None, None, stride=1, **OPTIONS),
        "same, plain": lambda x, w, a, b: ops.conv3x3(x, w, a + b, slope=0.2),
        "groups": lambda x, w, a, b: ops.conv3x3(x, w[:, :1], a + b, slope=0.2, groups=2),
        "upsample": lambda x, w, a, b: ops.upsample_conv(x, w, a + b),
        "downsample": lambda x, w, a, b: ops.conv_downsample(x, w, a + b),
    }
    inputs = (x, conv.weight, *norm)
    assert torch.autograd.gradcheck(functions[kind], inputs)
    assert torch.autograd.gradgradcheck(functions[kind], inputs)


OPTIONS: dict[str, Any] = {"training": True, "momentum": 0.1, "eps": 1e-5}


@needs_native
@every_block
def test_inference_follows_every_change_of_the_parameters(kind: str) -> None:
    block, x = make(kind, training=False)

    def check() -> None:
        exact = plain(block)
        with ops.use_backend("native"), torch.no_grad():
            for _ in range(2):  # the second time with the cached weights
                close(block(x), exact(x.double()))

    check()
    with torch.no_grad():
        block[0].weight.add_(1)  # type: ignore[operator,union-attr]
    check()
    block[0].weight.data.mul_(0.5)  # type: ignore[operator,union-attr]
    check()
    values = block[0].weight.data
    for part in (values[3], values[:, -1], values[:, :, 2, 1]):  # type: ignore[index]
        part.fill_(0.5)  # type: ignore[operator,union-attr]
        check()
    block[0].weight.data = torch.randn_like(block[0].weight)  # type: ignore[arg-type]
    check()
    block.load_state_dict(shaken(BLOCKS[kind][0](), seed=9).state_dict())
    check()
    block.to(memory_format=torch.channels_last)
    check()
    with torch.inference_mode(), ops.use_backend("native"):
        close(block(x), plain(block)(x.double()))


@every_block
@pytest.mark.parametrize("training", [True, False])
def test_memory_format_is_that_of_plain_pytorch(kind: str, training: bool) -> None:
    block, x = make(kind, training)
    for weights in (torch.contiguous_format, torch.channels_last):
        block.to(memory_format=weights)  # type: ignore[call-overload]
        for layout in (torch.contiguous_format, torch.channels_last):
            formatted = x.contiguous(memory_format=layout)
            with ops.use_backend("reference"):
                expected = block(formatted)
            if cpu_library.unavailable_reason() is None:
                with ops.use_backend("native"):
                    assert block(formatted).stride() == expected.stride(), (weights, layout)


@every_block
def test_autocast_float64_and_empty_batches_go_to_the_reference(kind: str) -> None:
    block, x = make(kind, training=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert block(x).dtype == torch.bfloat16
    assert block(x[:0]).shape[0] == 0
    assert block.double()(x.double()).dtype == torch.float64


@needs_native
@every_block
def test_native_says_why_it_cannot(kind: str) -> None:
    block, x = make(kind)
    with ops.use_backend("native"):
        with pytest.raises(NativeError, match="they are for float32"):
            block.double()(x.double())
        with pytest.raises(NativeError, match="there is nothing to compute"):
            block.float()(x[:0])
        with torch.autocast("cpu", torch.float16), pytest.raises(NativeError, match="autocast"):
            block(x)
        with pytest.raises(NativeError, match="input channels, but there are 2"):
            block(x[:, :2])


@every_block
def test_bad_arguments_raise_what_pytorch_raises(kind: str) -> None:
    block, x = make(kind)
    for bad in (x[:, :2], x[0, 0], x.long()):
        with pytest.raises(Exception) as expected:  # noqa: PT011  # any type, but the same
            plain(block).float()(bad)
        with pytest.raises(expected.type):
            block(bad)


def test_one_value_per_channel_is_refused_in_training() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        ConvBNLeakyReLU(3, 4)(torch.randn(1, 3, 2, 2))


@every_block
def test_hooks_and_replaced_modules_are_called(kind: str) -> None:
    block, x = make(kind, training=False)
    called: list[int] = []
    block[0].register_forward_hook(lambda *_: called.append(1))
    block(x)
    assert called == [1]
    block, x = make(kind, training=False)
    block[-1] = nn.Tanh()
    torch.testing.assert_close(block(x), nn.Sequential.forward(block, x))


@every_block
def test_a_replaced_forward_is_called(kind: str) -> None:
    block, x = make(kind, training=False)
    if len(block) == 1:
        return
    block[-1].forward = lambda input: torch.full_like(input, 7.0)  # type: ignore[method-assign]
    assert float(block(x).min()) == 7


@every_block
def test_an_image_without_a_batch_is_treated_as_by_pytorch(kind: str) -> None:
    block, x = make(kind)
    exact = plain(block).float()
    before = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    if not any(isinstance(module, nn.BatchNorm2d) for module in block):
        torch.testing.assert_close(block(x[0]), exact(x[:1])[0], rtol=1e-4, atol=1e-4)
        return
    with pytest.raises(ValueError, match="expected 4D input") as ours:
        block(x[0])
    with pytest.raises(ValueError, match="expected 4D input") as theirs:
        exact(x[0])
    assert str(ours.value) == str(theirs.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in block.state_dict().items())


@every_block
def test_a_batch_that_is_refused_is_not_counted(kind: str) -> None:
    block, x = make(kind)
    exact = plain(block).float()
    before = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    for bad in (x[:, 1:], x.double(), x[:, :, :0], [1]):
        with pytest.raises((RuntimeError, TypeError, AttributeError)) as ours:
            block(bad)
        with pytest.raises((RuntimeError, TypeError, AttributeError)) as theirs:
            exact(bad)
        assert type(ours.value) is type(theirs.value)
        assert all(torch.equal(tensor, before[name]) for name, tensor in block.state_dict().items())


@needs_native
@pytest.mark.parametrize("kind", ["up", "first", "down", "same"])
def test_an_eps_that_pytorch_refuses_is_refused(kind: str) -> None:
    block, x = make(kind)
    block[1].eps = 0.0
    with ops.use_backend("native"), pytest.raises(ValueError, match="eps must be positive"):
        block(x)


@pytest.mark.parametrize("kind", ["up", "down", "plain"])
def test_hooks_of_all_modules_see_those_of_a_block(kind: str) -> None:
    block, x = make(kind, training=False)
    seen: list[nn.Module] = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    block(x)
    handle.remove()
    assert seen == [*block, block]


def test_functions_refuse_an_image_without_a_batch() -> None:
    x, weight, options = torch.randn(3, 4, 4), torch.randn(3, 3, 4, 4), {**OPTIONS, "padding": 1}
    for function in (ops.conv_bn_leaky_relu, ops.conv_transpose_bn_relu):
        with pytest.raises(ValueError, match=r"expected 4D input \(got 3D input\)"):
            function(x, weight, None, None, None, None, stride=2, **options)


@needs_native
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["up", "first", "down", "same", "plain", "image"])
def test_an_infinite_gradient_is_stopped_by_the_relu(kind: str, training: bool) -> None:
    block, x = make(kind, training)
    if isinstance(block[-1], nn.LeakyReLU):
        block[-1].negative_slope = 0.0
    x = x.requires_grad_()
    with ops.use_backend("native"):
        out = block(x)
        grad = torch.where(out > 0, 1.0, torch.inf)  # as that of a square root at 0
        actual = torch.autograd.grad(out, [x, *block.parameters()], grad)
    exact = plain(block)
    exact[-1] = nn.ReLU()  # a LeakyReLU multiplies by 0
    y = exact(x.double())
    expected = torch.autograd.grad(y, [x, *exact.parameters()], grad.double())
    for a, b in zip(actual, expected):
        close(a, b)


@needs_native
@pytest.mark.parametrize("kind", ["up", "first", "same"])
@pytest.mark.parametrize("training", [True, False])
def test_an_infinite_shift_is_cut_off_by_the_relu(kind: str, training: bool) -> None:
    block, x = make(kind, training)
    if isinstance(block[-1], nn.LeakyReLU):
        block[-1].negative_slope = 0.0
    with torch.no_grad(), ops.use_backend("native"):
        block[1].bias.fill_(-torch.inf)  # type: ignore[operator,union-attr]
        assert not block(x).any()


@needs_native
@pytest.mark.parametrize("slope", [0.0, -0.5])
def test_a_slope_that_is_not_positive(slope: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x, weight = random(rng, 2, 3, 6, 6).requires_grad_(), random(rng, 5, 3, 4, 4)
    if slope < 0:
        with pytest.raises(NativeError, match=r"slope=-0\.5 is negative"):
            ops.conv_leaky_relu(x, weight, None, slope=slope, backend="native")
    grads = [
        torch.autograd.grad(ops.conv_leaky_relu(x, weight, None, slope=slope, backend=name).square().sum(), x)[0]
        for name in ("auto" if slope < 0 else "native", "reference")
    ]
    close(*grads)


@needs_native
def test_the_last_layer_is_native_for_images_only() -> None:
    layer, x = ConvTransposeTanh(8, 5), torch.randn(2, 8, 3, 3)
    with pytest.raises(NativeError, match="images of at most 4 channels"), ops.use_backend("native"):
        layer(x)
    plainly = nn.Sequential(nn.ConvTranspose2d(8, 5, 4, 2, 1), nn.Tanh())
    plainly[0].load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), plainly(x))
    sized = ConvTransposeTanh(8, 3)
    assert sized(x, [7, 7]).shape == (2, 3, 7, 7)
    assert torch.equal(sized(x, [6, 6]), sized(x))


@needs_native
def test_weights_in_the_cache_can_be_swapped() -> None:
    block, x = make("up", training=False)
    with ops.use_backend("native"), torch.no_grad():
        block(x)
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            block.load_state_dict(shaken(BLOCKS["up"][0](), seed=7).state_dict())
            close(block(x), plain(block)(x.double()))
            block.double().float()
            close(block(x), plain(block)(x.double()))
        finally:
            torch.__future__.set_swap_module_params_on_conversion(False)


def written_out(y: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Batch norm without F.batch_norm, which is wrong from the third derivative on."""
    mean = y.mean((0, 2, 3), keepdim=True)
    variance = (y - mean).square().mean((0, 2, 3), keepdim=True)
    return (y - mean) / (variance + 1e-5).sqrt() * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)


def successive_derivatives(function: Callable[[Tensor], Tensor], x: Tensor, directions: list[Tensor]) -> list[Tensor]:
    """The derivative of sum(f(x)**3), then that of its squared product with a direction, and so on."""
    x = x.clone().requires_grad_()
    loss, found = function(x).pow(3).sum(), []
    for direction in directions:
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        found.append(gradient.detach())
        loss = (gradient * direction).square().sum()
    return found


@needs_native
def test_derivatives_of_third_and_fourth_order() -> None:
    torch.manual_seed(0)
    block = shaken(ConvBNLeakyReLU(9, 20))
    x = torch.randn(3, 9, 8, 8)
    directions = [torch.randn_like(x) for _ in range(4)]
    conv, norm, act = plain(block)

    def exact(x: Tensor) -> Tensor:
        return act(written_out(conv(x), norm.weight, norm.bias))  # type: ignore[no-any-return]

    expected = successive_derivatives(exact, x.double(), [d.double() for d in directions])
    with ops.use_backend("native"):
        native = successive_derivatives(block, x, directions)
    for found, right in zip(native, expected):
        assert ((found - right).norm() / right.norm()).item() < 1e-5
    wrong = successive_derivatives(plain(block), x.double(), [d.double() for d in directions])
    assert ((wrong[2] - expected[2]).norm() / expected[2].norm()).item() > 0.01, "PyTorch is right: say so in the docs"
