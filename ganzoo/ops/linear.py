"""A fully connected layer on the CPU: PyTorch's, or a product of our own where PyTorch's library is not at its best.

PyTorch sends float32 products to MKL, which takes a slower path on processors that are not Intel's. The kernel in
csrc/cpu/matmul.inc is made for what a GAN of perceptrons does: a batch of 64 or 128, and weights that are used once and
then change, so that packing them would cost more than it saves. benchmarks/test_linear.py compares the two.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.ops import native
from ganzoo.ops.backend import resolve, tell_once
from ganzoo.ops.choice import surely

WORTH_IT = 1 << 19
"""Products of fewer multiplications than this are left to PyTorch: the call costs as much as it saves."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """x @ weight.T + bias, as `torch.nn.functional.linear`, which is the reference: same shapes, dtypes and errors.

    `x` is [N, in], `weight` [out, in], `bias` [out]. Differentiable any number of times. `auto` takes the native
    kernels for float32 products that are large enough, on CPUs on which PyTorch's own library is not at its best.
    """
    if _is_native(resolve(backend), x, weight, bias):
        if torch.compiler.is_compiling():
            return _recorded(x, weight.t(), bias)
        if not torch.is_grad_enabled():
            return _multiply(x, weight.t(), bias)
        result: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return result
    return F.linear(x, weight, bias)


def _is_native(backend: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    if backend == "reference":
        return False
    unfit = _unfit(x, weight, bias)
    if backend == "auto":
        # a single row is a matrix times a vector, which PyTorch does about as fast as the matrix can be read
        if unfit or mkl_is_at_its_best() or not surely(x.shape[0] > 1):
            return False
        if not surely(x.shape[0] * weight.numel() >= WORTH_IT):
            return False
        if unfit := native.unavailable():
            tell_once(unfit)
        return unfit is None
    if unfit := unfit or native.unavailable():
        raise native.NativeError(f"The native kernels cannot compute this: {unfit}.")
    return True


def _unfit(x: Tensor, weight: Tensor, bias: Tensor | None) -> str | None:
    """Why the native kernels are not for these arguments, as a clause; None if they are."""
    for t in (x, weight) if bias is None else (x, weight, bias):
        if not t.is_cpu or t.layout != torch.strided:
            return "they are for dense tensors on the CPU"
        if t.dtype != torch.float32:
            return "they are for float32"
    if torch.is_autocast_enabled("cpu"):
        return "autocast asks for another precision than their float32"
    if (why := native.transformed()) is not None:
        return why
    if x.dim() != 2 or weight.dim() != 2 or x.shape[1] != weight.shape[1]:
        return "they are for matrices that can be multiplied"
    if bias is not None and bias.shape != weight.shape[:1]:
        return "the bias is for another number of outputs"
    return None


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def mkl_is_at_its_best() -> bool:
    """Whether PyTorch's own products are as fast as they get here: with MKL on Intel, or on what is no x86."""
    return not torch.backends.mkl.is_available() or _vendor() == "GenuineIntel"


@functools.cache
def _vendor() -> str:
    """The processor's maker as CPUID spells it, or what the platform says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "GenuineIntel" if "Intel" in platform.processor() else platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "unknown")


class _Linear(torch.autograd.Function):
    """The three products of a layer: what the operation's own derivatives are, at half the cost of the call."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _multiply(x, weight.t(), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (grad,) = grads
        x, weight = ctx.saved_tensors
        return (
            _multiply(grad, weight) if ctx.needs_input_grad[0] else None,
            _multiply(grad.t(), x) if ctx.needs_input_grad[1] else None,
            grad.sum(dim=0) if ctx.needs_input_grad[2] else None,
        )


def _multiply(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    if torch.is_grad_enabled():  # in a backward pass that is itself differentiated
        return _recorded(a, b, bias)
    with torch._C._AutoDispatchBelowAutograd():  # the way past the derivatives, which are Python, takes 5 us
        return _recorded(a, b, bias)


def _recorded(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    result: Tensor = torch.ops.ganzoo.matmul.default(a, b, bias)
    return result
