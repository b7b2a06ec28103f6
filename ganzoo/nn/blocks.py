"""Convolution, batch norm and activation blocks, computed by the fused operations of `ganzoo.ops`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.nn.batch_norm import is_stock, norm_tensors, normalised
from ganzoo.ops import (
    conv1x1,
    conv3x3,
    conv_bn_leaky_relu,
    conv_downsample,
    conv_leaky_relu,
    conv_transpose_bn_relu,
    conv_transpose_tanh,
    upsample_conv,
)


class ConvTransposeBNReLU(nn.Sequential):
    """ConvTranspose2d (no bias), BatchNorm2d, ReLU: the block of the DCGAN generator (arXiv:1511.06434).

    Input [N, in_channels, H, W], output [N, out_channels, H', W'], H' = (H - 1) * stride - 2 * padding + kernel_size;
    the defaults double height and width. The state dict is that of
    `nn.Sequential(nn.ConvTranspose2d(...), nn.BatchNorm2d(...), nn.ReLU())`. Computed by
    `ganzoo.ops.conv_transpose_bn_relu`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 4,
        stride: int = 2,
        padding: int = 1,
    ):
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, kernel_size, stride, padding, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, input: Tensor) -> Tensor:
        modules: list[Any] = list(self)
        if not _is_batch(input) or not fusible_transposed(self):
            return _in_sequence(self, input)
        conv, norm, _ = modules
        options = {"stride": conv.stride[0], "padding": conv.padding[0]}
        return normalised(conv_transpose_bn_relu, norm, input, conv.weight, *norm_tensors(norm), **options)


class ConvTransposeTanh(nn.ConvTranspose2d):
    """ConvTranspose2d(4, 2, 1) and tanh: the last layer of the DCGAN generator (arXiv:1511.06434), images in [-1, 1].

    Input [N, in_channels, H, W], output [N, out_channels, H', W'], H' as in `ConvTransposeBNReLU`. The state dict is
    that of nn.ConvTranspose2d. Computed by `ganzoo.ops.conv_transpose_tanh`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 4,
        stride: int = 2,
        padding: int = 1,
        bias: bool = True,
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=bias)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None or not isinstance(input, Tensor) or not plain_tanh(self):
            return super().forward(input, output_size).tanh()
        return conv_transpose_tanh(input, self.weight, self.bias, stride=self.stride[0], padding=int(self.padding[0]))


class ConvBNLeakyReLU(nn.Sequential):
    """Conv2d(4, 2, 1), BatchNorm2d, LeakyReLU(0.2): the block of the DCGAN discriminator (arXiv:1511.06434).

    Input [N, in_channels, H, W], output [N, out_channels, H', W'], H' = (H + 2 padding - kernel_size) // stride + 1.
    The defaults halve height and width; there are kernels for stride=1, padding=1 and kernel_size=3 or 4 as well. With
    `norm=False` there is no batch norm and the convolution has a bias (unless `bias=False`), as in the paper's first
    layer; gradient penalties need this in every layer. Computed by `ganzoo.ops.conv_bn_leaky_relu` and
    `conv_leaky_relu`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: bool = True,
        slope: float = 0.2,
        kernel_size: int = 4,
        stride: int = 2,
        padding: int = 1,
        bias: bool = True,
    ):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias and not norm),
            *([nn.BatchNorm2d(out_channels)] if norm else []),
            nn.LeakyReLU(slope, inplace=True),
        )

    def forward(self, input: Tensor) -> Tensor:
        modules: list[Any] = list(self)
        if isinstance(input, Tensor) and _fusible(modules, nn.Conv2d, nn.LeakyReLU):
            conv, act = modules
            return conv_leaky_relu(
                input, conv.weight, conv.bias, stride=conv.stride[0], padding=conv.padding[0], slope=act.negative_slope
            )
        if not _is_batch(input) or not _fusible(modules, nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU):
            return _in_sequence(self, input)
        conv, norm, act = modules
        options = {"stride": conv.stride[0], "padding": conv.padding[0], "slope": act.negative_slope}
        return normalised(conv_bn_leaky_relu, norm, input, conv.weight, *norm_tensors(norm), **options)


class ConvHead(nn.Conv2d):
    """Conv2d whose kernel covers the whole feature map: the last layer of a discriminator, computed as a linear layer.

    Input [N, in_channels, *kernel_size], output [N, out_channels, 1, 1]; larger feature maps are convolved.
    The state dict is that of nn.Conv2d.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, ...], bias: bool = True):
        super().__init__(in_channels, out_channels, kernel_size, bias=bias)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        whole = _is_batch(input) and input.shape[1:] == self.weight.shape[1:] and self.padding == (0, 0)
        if not (whole and _is_plain(self)):
            return super().forward(input)
        channels_last = input.is_contiguous(memory_format=torch.channels_last)
        maps, weight = (t.permute(0, 2, 3, 1) if channels_last else t for t in (input, self.weight))  # avoids a copy
        return nn.functional.linear(maps.flatten(1), weight.flatten(1), self.bias)[:, :, None, None]


class Conv3x3(nn.Conv2d):
    """Conv2d(3, padding=1), plus a residual if one is given, then a leaky ReLU with this slope; 1 means none, 0 a ReLU.

    Input [N, in_channels, H, W], residual and output [N, out_channels, H, W]. The state dict is that of nn.Conv2d.
    Computed by `ganzoo.ops.conv3x3`.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True, slope: float = 1.0, groups: int = 1):
        super().__init__(in_channels, out_channels, 3, padding=1, groups=groups, bias=bias)
        self.slope = slope

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        return conv3x3(input, self.weight, self.bias, residual=residual, slope=self.slope, groups=self.groups)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, slope={self.slope}"  # type: ignore[no-untyped-call]


class Conv1x1(nn.Conv2d):
    """Conv2d(1) with leaky ReLUs: of the input, with `input_slope`, and of the result, after a residual is added.

    Input [N, in_channels, H, W], residual and output [N, out_channels, H, W]; a slope of 1 means none, 0 a ReLU. The
    state dict is that of nn.Conv2d. Computed by `ganzoo.ops.conv1x1`. What it leaves to PyTorch is a matrix product if
    the images are channels_last on the CPU: second derivatives, which gradient penalties need, are products as well,
    while PyTorch computes those of a convolution as convolutions with kernels of the size of the images.
    """

    def __init__(
        self, in_channels: int, out_channels: int, bias: bool = True, slope: float = 1.0, input_slope: float = 1.0
    ):
        super().__init__(in_channels, out_channels, 1, bias=bias)
        self.slope, self.input_slope = slope, input_slope

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        return conv1x1(input, self.weight, self.bias, residual=residual, input_slope=self.input_slope, slope=self.slope)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, slope={self.slope}, input_slope={self.input_slope}"  # type: ignore[no-untyped-call]


class UpsampleConv2d(nn.Conv2d):
    """Upsampling by 2 to the nearest neighbour, then Conv2d(3, padding=1): generators of residual networks.

    Input [N, in_channels, H, W], output [N, out_channels, 2 H, 2 W]. The state dict is that of nn.Conv2d, and spectral
    norm applies to the 3x3 weight as it does there. Computed by `ganzoo.ops.upsample_conv`.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return upsample_conv(input, self.weight, self.bias)


class ConvDownsample2d(nn.Conv2d):
    """Conv2d(3, padding=1), then AvgPool2d(2): discriminators of residual networks.

    Input [N, in_channels, H, W], output [N, out_channels, H // 2, W // 2]. The state dict is that of nn.Conv2d, and
    spectral norm applies to the 3x3 weight as it does there. Computed by `ganzoo.ops.conv_downsample`.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__(in_channels, out_channels, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return conv_downsample(input, self.weight, self.bias)


def fusible_transposed(block: ConvTransposeBNReLU) -> bool:
    """Whether the fused operation computes what the modules of `block` do."""
    return _fusible(list(block), nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU)


def plain_tanh(layer: ConvTransposeTanh) -> bool:
    """Whether the fused operation computes what `layer` does."""
    return _is_plain(layer)


def _fusible(modules: list[Any], *types: type[nn.Module]) -> bool:
    """Whether these modules are exactly of these types, without hooks, in a configuration the fused operations support.

    Otherwise the modules run one after the other.
    """
    if len(modules) != len(types) or not all(is_stock(module, kind) for module, kind in zip(modules, types)):
        return False
    return _is_plain(modules[0]) and (modules[0].bias is None or len(modules) == 2)


def _is_batch(input: Any) -> bool:
    """Whether it is a batch of images; without a batch BatchNorm2d raises, and torch.fx traces by what is no tensor."""
    return isinstance(input, Tensor) and input.dim() == 4


def _is_plain(conv: Any) -> bool:
    """Whether the convolution has square strides, zero padding, no dilation and a single group."""
    return (
        not isinstance(conv.padding, str)
        and conv.stride[0] == conv.stride[1]
        and conv.padding[0] == conv.padding[1]
        and conv.output_padding == (0, 0)
        and conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
    )


def _in_sequence(block: nn.Sequential, input: Tensor) -> Tensor:
    for module in block:
        input = module(input)
    return input
