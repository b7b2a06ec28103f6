"""The blocks of a generator in inference as steps from images to images, without the checks of every call.

A step is made for images of one shape, and is None where PyTorch should compute the block. It reads weights and
statistics when it is called; packed weights are checked as in `ganzoo.ops.packing`. It has no derivatives. Without the
checks the kernels are faster than PyTorch for a single image already, so there is no least amount of work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ganzoo.ops.autograd import call
from ganzoo.ops.batch_norm import BatchNorm, fold
from ganzoo.ops.conv_bn import CONV_TRANSPOSE_BN, ONE_PIXEL_BN, one_pixel_product
from ganzoo.ops.dispatch import Kernels, dispatch, is_channels_last
from ganzoo.ops.few_channels import CONV_TRANSPOSE_TANH
from ganzoo.ops.packing import pack_transposed, packed

ops = torch.ops.ganzoo

ONE_PIXEL, UP, IMAGE = (replace(rule, min_work=0) for rule in (ONE_PIXEL_BN, CONV_TRANSPOSE_BN, CONV_TRANSPOSE_TANH))

Step = Callable[[Tensor], Tensor]


def one_pixel_step(
    x: Tensor, weight: Tensor, norm: Sequence[Tensor | None], stride: int, padding: int, eps: float
) -> Step | None:
    """The first block, [N, in, 1, 1] -> [N, out, kH, kW] in channels_last memory."""
    tensors = BatchNorm(*norm)
    if padding or dispatch(ONE_PIXEL, "auto", x, weight, tensors, stride, padding, False) is not Kernels.CPU:
        return None
    gamma, beta, mean, var = tensors
    if not is_channels_last(weight):
        return None

    def step(x: Tensor) -> Tensor:
        out: Tensor = call(
            ops.batch_norm_act, one_pixel_product(x, weight, False, "auto"), mean, var, gamma, beta, eps, 0.0
        )
        return out

    return step


def up_step(
    x: Tensor, weight: Tensor, norm: Sequence[Tensor | None], stride: int, padding: int, eps: float
) -> Step | None:
    """A block that doubles the size, on channels_last images."""
    tensors = BatchNorm(*norm)
    if dispatch(UP, "auto", x, weight, tensors, stride, padding, False) is not Kernels.CPU:
        return None
    height, width = 2 * x.shape[2], 2 * x.shape[3]
    if not is_channels_last(x):
        return None

    def step(x: Tensor) -> Tensor:
        panels = packed(weight, pack_transposed, Kernels.CPU)
        out: Tensor = call(ops.conv_transpose4x4s2, x, weight, panels, *fold(tensors, eps), 0.0, height, width)
        return out

    return step


def image_step(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Step | None:
    """The last block, channels_last images to those of 1 to 4 channels."""
    if dispatch(IMAGE, "auto", x, weight, (bias,), stride, padding) is not Kernels.CPU:
        return None
    height, width = 2 * x.shape[2], 2 * x.shape[3]
    if not is_channels_last(x):
        return None

    def step(x: Tensor) -> Tensor:
        return call(ops.conv_transpose4x4s2_tanh, x, weight, bias, height, width)  # type: ignore[no-any-return]

    return step
