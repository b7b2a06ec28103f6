from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganzoo.nn import Conv1x1, ConvBNLeakyReLU, ConvHead, ConvTransposeBNReLU, ConvTransposeTanh, uses_batch_statistics


def plain_block(kernel_size: int, stride: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(5, 3, kernel_size, stride, padding, bias=False), nn.BatchNorm2d(3), nn.ReLU()
    )


def randomise(network: nn.Module) -> None:
    """Set weights and statistics to values that differ from every default."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5)
            else:
                tensor.fill_(17)


@pytest.mark.parametrize(("kernel_size", "stride", "padding"), [(4, 2, 1), (4, 1, 0), (7, 1, 0)])
@pytest.mark.parametrize("training", [True, False])
def test_generator_block_equals_plain_pytorch(kernel_size: int, stride: int, padding: int, training: bool) -> None:
    block, plain = ConvTransposeBNReLU(5, 3, kernel_size, stride, padding), plain_block(kernel_size, stride, padding)
    assert list(block.state_dict()) == list(plain.state_dict())
    x = torch.randn(4, 5, 3, 3)
    for source, target in ((block, plain), (plain, block)):
        randomise(source)
        target.load_state_dict(source.state_dict())
        block.train(training)
        plain.train(training)
        assert torch.equal(block(x), plain(x))
        for name, tensor in source.state_dict().items():
            assert torch.equal(tensor, target.state_dict()[name]), name


def test_generator_block_doubles_by_default_and_has_no_bias() -> None:
    block = ConvTransposeBNReLU(5, 3)
    out = block(torch.randn(2, 5, 6, 7))
    assert out.shape == (2, 3, 12, 14)
    assert (out >= 0).all()
    assert sorted(name for name, _ in block.named_parameters()) == ["0.weight", "1.bias", "1.weight"]


def test_generator_block_does_not_change_its_input() -> None:
    x = torch.randn(2, 5, 4, 4)
    before = x.clone()
    ConvTransposeBNReLU(5, 3)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("norm", "names"),
    [(True, ["0.weight", "1.bias", "1.weight"]), (False, ["0.bias", "0.weight"])],
)
def test_discriminator_block_halves(norm: bool, names: list[str]) -> None:
    block = ConvBNLeakyReLU(3, 5, norm)
    assert block(torch.randn(2, 3, 8, 12)).shape == (2, 5, 4, 6)
    assert sorted(name for name, _ in block.named_parameters()) == names
    assert uses_batch_statistics(block) is norm


def test_discriminator_block_has_a_leaky_activation() -> None:
    block = ConvBNLeakyReLU(1, 1, norm=False)
    x = torch.randn(2, 1, 4, 4)
    convolved = block[0](x)
    torch.testing.assert_close(block(x), torch.where(convolved > 0, convolved, 0.2 * convolved))


@pytest.mark.parametrize("bias", [True, False])
def test_last_generator_block_equals_plain_pytorch(bias: bool) -> None:
    block, plain = ConvTransposeTanh(5, 3, bias=bias), nn.ConvTranspose2d(5, 3, 4, 2, 1, bias=bias)
    plain.load_state_dict(block.state_dict())
    x = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(block(x), plain(x).tanh())
    torch.testing.assert_close(block(x, output_size=[9, 9]), plain(x, output_size=[9, 9]).tanh())


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("size", [4, 1, 6])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_head_equals_a_convolution(outputs: int, size: int, form: torch.memory_format) -> None:
    head, plain = ConvHead(5, outputs, min(size, 4)).double(), nn.Conv2d(5, outputs, min(size, 4)).double()
    plain.load_state_dict(head.state_dict())
    head.to(memory_format=form)  # type: ignore[call-overload]
    x = torch.randn(3, 5, size, size, dtype=torch.double).to(memory_format=form)
    grads = []
    for layer in (head, plain):
        leaf = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        out = layer(leaf)
        assert out.shape == (3, outputs, max(1, size - 3), max(1, size - 3))
        (slope,) = torch.autograd.grad(out.sin().sum(), leaf, create_graph=True)
        slope.square().sum().backward()
        assert leaf.grad is not None
        grads.append([out, slope, leaf.grad, *(p.grad for p in layer.parameters())])
    for actual, expected in zip(*grads):
        torch.testing.assert_close(actual, expected)


def test_head_refuses_the_same_inputs_as_a_convolution() -> None:
    with pytest.raises(RuntimeError, match="to have 5 channels"):
        ConvHead(5, 1, 4)(torch.randn(2, 6, 4, 4))


@pytest.mark.parametrize("bias", [True, False])
def test_a_1x1_convolution_and_its_second_derivatives_are_conv2ds(bias: bool) -> None:
    torch.manual_seed(0)
    conv, plain = Conv1x1(3, 5, bias).double(), nn.Conv2d(3, 5, 1, bias=bias).double()
    plain.load_state_dict(conv.state_dict())
    x = torch.randn(2, 3, 4, 6).double()

    def second(module: nn.Module, x: Tensor) -> list[Tensor]:
        x = x.clone(memory_format=torch.preserve_format).requires_grad_()
        out = module(x)
        (dx,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        return [out, dx, *torch.autograd.grad(dx.square().sum(), [x, *module.parameters()])]

    for layout in (torch.channels_last, torch.contiguous_format):
        images = x.contiguous(memory_format=layout)
        for actual, expected in zip(second(conv, images), second(plain, images)):
            torch.testing.assert_close(actual, expected)
            assert actual.stride() == expected.stride() or actual.dim() < 4 or actual.shape[2:] == (1, 1)
    with pytest.raises(RuntimeError, match="channels"):
        plain(x[:, :2])
    for wrong in (x[:, :2], x[:, :2].contiguous(memory_format=torch.channels_last)):
        with pytest.raises(RuntimeError):
            conv(wrong)
