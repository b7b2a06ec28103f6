"""The convolution to one channel, and convolutions of images that a kernel covers, as products."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.core.spec import DataSpec
from ganzoo.nn.patches import ConvToOne, PatchDiscriminator
from ganzoo.ops import conv_bn, conv_leaky_relu, conv_transpose_bn_relu, convolution, reference, use_backend
from tests.ops.conftest import needs_native


def derivatives(out: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """`out`, the gradients of the sum of its cubes, and those of the sum of their squares."""
    first = torch.autograd.grad(out.pow(3).sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum((g.square().sum() for g in first), out.new_zeros(())), leaves)
    return [t.detach() for t in (out, *first, *second)]


def compare(actual: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(actual, expected):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def leaves(*shapes: tuple[int, ...]) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=rng) for shape in shapes]
    return [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in tensors]


def both(tensors: list[Tensor]) -> list[list[Tensor]]:
    return [[t.to(dtype).requires_grad_() for t in tensors] for dtype in (torch.float32, torch.float64)]


@pytest.mark.parametrize(
    ("kernel", "padding", "height", "width"), [(4, 1, 7, 5), (3, 0, 3, 4), (1, 0, 2, 2), (4, 3, 2, 1)]
)
def test_a_convolution_to_one_channel(kernel: int, padding: int, height: int, width: int) -> None:
    layer = ConvToOne(6, kernel, padding)
    plain = nn.Conv2d(6, 1, kernel, padding=padding).double()
    plain.load_state_dict(layer.state_dict())
    (ours,), (exact,) = both(leaves((2, 6, height, width)))
    compare(
        derivatives(layer(ours), [ours, *layer.parameters()]), derivatives(plain(exact), [exact, *plain.parameters()])
    )
    assert torch.equal(layer(ours.detach().contiguous()), nn.Conv2d.forward(layer, ours.detach().contiguous()))


def test_autocast_and_torch_func_see_a_convolution() -> None:
    layer = ConvToOne(6, 4, 1)
    plain = nn.Conv2d(6, 1, 4, padding=1)
    plain.load_state_dict(layer.state_dict())
    (images,) = leaves((3, 6, 7, 5))
    with torch.autocast("cpu", torch.bfloat16):
        ours, expected = layer(images), plain(images)
    assert ours.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(ours, expected, rtol=0.02, atol=0.02)

    def gradients(network: nn.Module) -> dict[str, Tensor]:
        def loss(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
            return torch.func.functional_call(network, parameters, (image[None],)).square().sum()

        parameters = {name: p.detach() for name, p in network.named_parameters()}
        return torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, images)  # type: ignore[no-any-return]

    torch.testing.assert_close(gradients(layer), gradients(plain))
    assert gradients(layer)["weight"].shape == (3, 1, 6, 4, 4)


@pytest.mark.parametrize(("height", "width", "padding"), [(2, 2, 1), (2, 3, 1)])
def test_a_convolution_of_images_that_the_kernel_covers(
    height: int, width: int, padding: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, exact = both(leaves((3, 5, height, width), (4, 5, 4, 4), (4,)))
    monkeypatch.setattr(reference, "conv_leaky_relu", None)
    monkeypatch.setattr(convolution, "dispatch", None)
    out = conv_leaky_relu(*ours, padding=padding, slope=0.3)
    expected = F.leaky_relu(F.conv2d(*exact, stride=2, padding=padding), 0.3)
    assert out.shape == expected.shape == (3, 4, 1, 1)
    compare(derivatives(out, ours), derivatives(expected, exact))


@needs_native
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("padding", [0, 1])
def test_a_transposed_convolution_of_one_pixel(training: bool, padding: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, scale, shift = ours = [t.requires_grad_() for t in leaves((64, 64, 1, 1), (64, 64, 4, 4), (64,), (64,))]
    options = {"stride": 2, "padding": padding, "training": training, "momentum": 0.1, "eps": 1e-5}
    results = []
    for backend in ("auto", "reference"):
        running = [torch.zeros(64), torch.ones(64)]
        with monkeypatch.context() as patch:
            if backend == "auto":
                patch.setattr(reference, "conv_transpose_bn_relu", None)
                patch.setattr(conv_bn, "_conv_bn", None)
            out = conv_transpose_bn_relu(x, weight, scale, shift, *running, backend=backend, **options)  # type: ignore[arg-type]
        grads = torch.autograd.grad(out, ours, torch.where(out > 0.1, out.detach(), 0.0))
        results.append([out.detach(), *running, *grads])
    assert results[0][0].shape == (64, 64, 4 - 2 * padding, 4 - 2 * padding)
    compare(results[0], [t.double() for t in results[1]])


@needs_native
def test_images_beside_their_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(DataSpec(3, 16), 32, 1, inputs=2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, inputs = torch.randn(4, 3, 16, 16, requires_grad=True), torch.randn(4, 2, 16, 16)

    def values() -> list[Tensor]:
        return derivatives(network(images, inputs), [images, *network.parameters()])

    with use_backend("reference"):
        expected = values()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "cat", None)
        patch.setattr(reference, "conv_leaky_relu", None)
        actual = values()
    compare(actual, [t.double() for t in expected])
    called: list[tuple[int, ...]] = []
    network.blocks[0].register_forward_hook(lambda module, arguments, out: called.append(arguments[0].shape))
    network(images, inputs)
    assert called == [(4, 5, 16, 16)]
