"""Decides, once per call, whether native kernels compute an operation, and on which device.

Every operation has a `Rule`. `BlockRule` is the one of convolutions with what follows them.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from ganzoo.ops import cpu_library, cuda_library
from ganzoo.ops.autograd import functorch_active
from ganzoo.ops.backend import NativeError, exporting, resolve, warn_once

FEW_CHANNELS = 4
"""Images of at most this many channels have kernels of their own: kFewChannels of csrc/cpu."""


class Kernels(enum.Enum):
    """The kernels that compute a call."""

    CPU = "cpu"
    CUDA = "cuda"


class Rule(Protocol):
    """What `dispatch` needs to know about an operation; the arguments are those of the call."""

    cuda: ClassVar[bool]
    """Whether there are CUDA kernels; without any PyTorch computes the operation on a GPU, whatever the backend."""

    def unsupported_reason(self, kernels: Kernels, x: Tensor, *arguments: Any) -> str | None:
        """Why the kernels cannot compute the call, as a clause; None if they can."""

    def is_profitable(self, kernels: Kernels, x: Tensor, *arguments: Any) -> bool:
        """Whether `auto` uses the kernels for a call that they can compute."""


def dispatch(rule: Rule, backend: str, x: Tensor, *arguments: Any) -> Kernels | None:
    """The kernels to compute the call with, None for the PyTorch reference.

    Raises NativeError if the backend is "native" and they cannot, UsageError for an unknown `backend`.
    """
    backend = resolve(backend)
    if backend == "reference" or (backend == "auto" and (exporting() or not isinstance(x, Tensor))):
        return None
    kernels = Kernels.CUDA if cuda_library.is_cuda(x) else Kernels.CPU
    if kernels is Kernels.CUDA and not rule.cuda:
        return None
    if functorch_active():
        reason: str | None = "torch.func and forward-mode AD need PyTorch's own operations"
    else:
        reason = rule.unsupported_reason(kernels, x, *arguments)
    if reason is None and (backend == "native" or rule.is_profitable(kernels, x, *arguments)):
        reason = cpu_library.unavailable_reason()
        if reason is None and kernels is Kernels.CUDA:
            reason = cuda_library.unavailable_reason()
        if reason is None:
            return kernels
        if backend == "auto":
            warn_once(reason)
    if backend == "native":
        raise NativeError(f"The native kernels cannot compute this: {reason}.")
    return None


@dataclass(frozen=True)
class BlockRule:
    """The rule of a (transposed) convolution with batch norm or bias and an activation."""

    cuda: ClassVar[bool] = True
    transposed: bool
    batch_norm: bool
    min_in: int
    """Fewest input channels for `auto`: with less, the forward and backward pass are slower than the reference's."""
    min_out: int
    """Fewest output channels for `auto`."""
    min_work: int
    """Fewest multiply-adds for `auto`."""
    few_channels: bool = False
    """For images of at most `FEW_CHANNELS` channels."""
    one_pixel: bool = False
    """For inputs of 1 x 1 pixels and any kernel; otherwise kernel 4, stride 2, padding 1."""

    def unsupported_reason(
        self, kernels: Kernels, x: Tensor, weight: Tensor, params: Sequence[Tensor | None], stride: int, padding: int,
        training: bool = False,
    ) -> str | None:  # fmt: skip
        given = [t for t in params if t is not None]
        if kernels is Kernels.CUDA:
            reason = cuda_library.unsupported_reason(x, weight, given, training)
        else:
            reason = image_on_cpu_reason(x, weight, *given)
        return reason or self._shape_reason(x, weight, given, params, stride, padding, training)

    def _shape_reason(
        self, x: Tensor, weight: Tensor, given: list[Tensor], params: Sequence[Tensor | None], stride: int,
        padding: int, training: bool,
    ) -> str | None:  # fmt: skip
        if x.dim() != 4 or weight.dim() != 4:
            return "they are for images [N, C, H, W] and weights of four dimensions"
        cin, cout = (weight.shape[0], weight.shape[1]) if self.transposed else (weight.shape[1], weight.shape[0])
        if self.few_channels and weight.shape[1] > FEW_CHANNELS:
            return f"they are for images of at most {FEW_CHANNELS} channels"
        if x.shape[1] != cin:
            return f"the weight is for {cin} input channels, but there are {x.shape[1]}"
        for t in given:
            if t.dim() != 1 or t.shape[0] != cout:
                return f"the {'batch norm' if self.batch_norm else 'bias'} is for another number of channels"
        if self.batch_norm and (params[2] is None) != (params[3] is None):
            return "running mean and variance come together"
        if self.batch_norm and not training and params[2] is None:
            return "without training there must be running statistics"
        if x.numel() == 0 or weight.numel() == 0:
            return "there is nothing to compute"
        if self.one_pixel:
            return None if x.shape[0] > 1 or weight.shape[2] * weight.shape[3] > 1 else "there is one value per channel"
        return self._kernel_reason(x, weight, stride, padding, training)

    def _kernel_reason(self, x: Tensor, weight: Tensor, stride: int, padding: int, training: bool) -> str | None:
        if weight.shape[2] != 4 or weight.shape[3] != 4 or stride != 2 or padding != 1:
            return "they are for kernel 4, stride 2, padding 1"
        if not self.transposed:
            if x.shape[2] < 2 or x.shape[3] < 2:
                return "the image is smaller than the kernel"
            if training and x.shape[0] * (x.shape[2] // 2) * (x.shape[3] // 2) == 1:
                return "there is one value per channel"  # PyTorch refuses this with its own message
        return None

    def is_profitable(self, kernels: Kernels, x: Tensor, weight: Tensor, *_: Any) -> bool:
        if kernels is Kernels.CUDA:
            if weight.shape[1] <= FEW_CHANNELS and self.batch_norm:
                return False  # channels are read one number at a time
            return cuda_library.is_profitable(x, weight, self.one_pixel)
        # copying the image with many channels to channels_last and back costs more than the kernels save
        many_channels_copied = not self.transposed or torch.is_grad_enabled()
        if self.few_channels and many_channels_copied and not (is_channels_last(x) or is_channels_last(weight)):
            return False
        cin, cout = (weight.shape[0], weight.shape[1]) if self.transposed else (weight.shape[1], weight.shape[0])
        pixels = x.shape[2] * x.shape[3] if self.transposed else x.shape[2] * x.shape[3] // 4
        work = x.shape[0] * pixels * weight.numel()
        return cin >= self.min_in and cout >= self.min_out and statically_true(work >= self.min_work)


def shape_reason(x: Tensor, weight: Tensor, bias: Tensor | None, kernel: int) -> str | None:
    """Why these do not make a convolution of images with this (square) kernel, as a clause; None if they do."""
    if x.dim() != 4 or weight.dim() != 4:
        return "they are for images [N, C, H, W] and weights of four dimensions"
    if weight.shape[2:] != (kernel, kernel):
        return f"they are for kernel {kernel}"
    if x.shape[1] != weight.shape[1]:
        return f"the weight is for {weight.shape[1]} input channels, but there are {x.shape[1]}"
    if bias is not None and bias.shape != weight.shape[:1]:
        return "the bias is for another number of channels"
    return None if x.numel() and weight.numel() else "there is nothing to compute"


def image_on_cpu_reason(x: Tensor, *parameters: Tensor) -> str | None:
    """Why the CPU kernels cannot take this image, in autocast's dtype, and float32 parameters; None if they can."""
    if not torch.is_autocast_enabled("cpu"):
        return float32_on_cpu_reason(x, *parameters)
    if torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return "autocast asks for another precision than their float32 and bfloat16"
    if x.dtype not in (torch.float32, torch.bfloat16):
        return "they are for float32 and bfloat16"
    return dense_reason(x) or float32_reason(*parameters)


def kernel_dtype(x: Tensor, kernels: Kernels) -> torch.dtype:
    """The dtype of the images that the kernels get: autocast's, or float32 if the CPU has no products of bfloat16.

    Without them PyTorch's bfloat16 is slower than float32. The result is to be in autocast's dtype in any case.
    """
    dtype = cuda_library.compute_dtype(x)
    if kernels is Kernels.CPU and dtype == torch.bfloat16 and not cpu_library.has_bfloat16():
        return torch.float32
    return dtype


def float32_on_cpu_reason(*tensors: Tensor) -> str | None:
    """Why the CPU kernels cannot take these tensors, as a clause; None if they can."""
    reason = float32_reason(*tensors)
    if reason is not None:
        return reason
    return "autocast asks for another precision than their float32" if torch.is_autocast_enabled("cpu") else None


def float32_reason(*tensors: Tensor) -> str | None:
    """As `float32_on_cpu_reason`, for operations whose dtype autocast does not change."""
    for t in tensors:
        reason = dense_reason(t)
        if reason is not None:
            return reason
        if t.dtype != torch.float32:
            return "they are for float32"
    return None


def dense_reason(t: Tensor) -> str | None:
    """Why the CPU kernels cannot read the memory of `t`, as a clause; None if they can."""
    return "they are for dense tensors on the CPU" if not t.is_cpu or t.layout != torch.strided else None


def statically_true(condition: Any) -> bool:
    """`condition` on sizes; in a program exported for many sizes, whether it holds for all of them."""
    if torch.compiler.is_exporting():
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        return statically_known_true(condition)
    return bool(condition)


def is_channels_last(t: Tensor) -> bool:
    """Whether PyTorch considers `t` channels_last: by the strides if sizes leave it open, never for 1 x 1 images."""
    return t.stride(1) == 1 and t.shape[2:] != (1, 1) and t.is_contiguous(memory_format=torch.channels_last)


def like_reference(out: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`out`, which is channels_last, in the memory format that PyTorch's convolutions would return."""
    return out if is_channels_last(x) or is_channels_last(weight) else out.contiguous()
