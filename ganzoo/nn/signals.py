"""Convolutions of signals, computed by `ganzoo.ops`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ganzoo.ops import conv1d, conv_transpose1d


class Conv1d(nn.Conv1d):
    """nn.Conv1d, computed by `ganzoo.ops.conv1d`: [N, in_channels, L] -> [N, out_channels, L']."""

    def forward(self, input: Tensor) -> Tensor:
        if not _is_plain(self):
            return super().forward(input)
        return conv1d(input, self.weight, self.bias, stride=self.stride[0], padding=int(self.padding[0]))


class ConvTranspose1d(nn.ConvTranspose1d):
    """nn.ConvTranspose1d, computed by `ganzoo.ops.conv_transpose1d`: [N, in_channels, L] -> [N, out_channels, L']."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if output_size is not None or not _is_plain(self):
            return super().forward(input, output_size)
        return conv_transpose1d(
            input, self.weight, self.bias,
            stride=self.stride[0], padding=int(self.padding[0]), output_padding=self.output_padding[0],
        )  # fmt: skip


def _is_plain(conv: Any) -> bool:
    """Whether the convolution has zero padding, no dilation and a single group."""
    plain: bool = not isinstance(conv.padding, str) and conv.dilation == (1,) and conv.groups == 1
    return plain and conv.padding_mode == "zeros"
