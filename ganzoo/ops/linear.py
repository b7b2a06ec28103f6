"""Fully connected layers on the CPU, where PyTorch's matrix products are slow.

PyTorch computes float32 products by MKL, which uses a slower path on processors that are not Intel's. The kernel in
csrc/cpu is for GANs made of perceptrons: a batch of 64 or 128, and weights that are used once before they change, so
packing them would cost more than it saves. benchmarks/test_linear.py compares the two. The operator is `matmul`.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.ops.autograd import Gradients, Needs, call, declare, needed_gradients
from ganzoo.ops.constant_results import assume_constant_result
from ganzoo.ops.dispatch import Kernels, dispatch, float32_on_cpu_reason, statically_true

MIN_WORK, MIN_WORK_OF_NARROW_UNITS = 1 << 19, 1 << 23
"""Fewest multiplications of a product that `auto` computes natively: below, the call costs as much as it saves.

MKL uses AVX2 on processors of AMD: half of what the units of Zen 5 do, and all that those of Zen 4 and before do.
"""
ZEN_5 = 26
"""The family of AMD's first processors with units of 512 bits."""


class LinearRule:
    """The rule of `linear`."""

    cuda: ClassVar[bool] = False

    def unsupported_reason(self, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor | None) -> str | None:
        reason = float32_on_cpu_reason(x, weight) if bias is None else float32_on_cpu_reason(x, weight, bias)
        if reason is not None:
            return reason
        if x.dim() != 2 or weight.dim() != 2 or x.shape[1] != weight.shape[1]:
            return "they are for matrices that can be multiplied"
        if bias is not None and bias.shape != weight.shape[:1]:
            return "the bias is for another number of outputs"
        return None

    def is_profitable(self, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        # for a single row PyTorch multiplies a matrix and a vector about as fast as the matrix can be read
        if mkl_is_fast() or not statically_true(x.shape[0] > 1):
            return False
        return statically_true(x.shape[0] * weight.numel() >= min_work())


RULE = LinearRule()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """x @ weight.T + bias, as `torch.nn.functional.linear`, which is the reference: same shapes, dtypes and errors.

    `x` is [N, in], `weight` [out, in], `bias` [out]. Differentiable any number of times. `auto` uses the native kernels
    for float32 products that are large enough, on CPUs on which PyTorch's own library is slow. On a GPU PyTorch
    computes it. Raises `NativeError` if `backend` is "native" and the kernels cannot compute the call.
    """
    if dispatch(RULE, backend, x, weight, bias) is None:
        return F.linear(x, weight, bias)
    result: Tensor
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        result = _matmul(x, weight.t(), bias)
    else:
        result = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return result


@assume_constant_result
def mkl_is_fast() -> bool:
    """Whether PyTorch's own products are as fast as possible here: with MKL on Intel, or without MKL."""
    return not torch.backends.mkl.is_available() or _processor()[0] == "GenuineIntel"


@assume_constant_result
def min_work() -> int:
    """Fewest multiplications of a product that `auto` computes natively on this processor."""
    return min_work_on(*_processor())


def min_work_on(vendor: str, family: int) -> int:
    """The same for a processor with this maker and family in CPUID."""
    return MIN_WORK_OF_NARROW_UNITS if vendor == "AuthenticAMD" and family < ZEN_5 else MIN_WORK


@functools.cache
def _processor() -> tuple[str, int]:
    """The processor's maker as CPUID spells it, or as the platform names it, and its family; 0 if that is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "GenuineIntel" if "Intel" in platform.processor() else platform.processor(), 0
    values = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return values.get("vendor_id", "unknown"), int(values.get("cpu family", "0"))


class _Linear(torch.autograd.Function):
    """The three products of a layer; the gradient of the weight lies in memory as the weight does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _matmul(x, weight.t(), bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (grad,), needs = grads, needed_gradients(ctx)
        x, weight = ctx.saved_tensors
        return (
            _matmul(grad, weight) if needs[0] else None,
            _matmul(grad.t(), x) if needs[1] else None,
            grad.sum(dim=0) if needs[2] else None,
        )


def _matmul(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    return call(torch.ops.ganzoo.matmul, a, b, bias)  # type: ignore[no-any-return]


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:2])


def _backward(ctx: Any, needs: Needs, grad: Tensor) -> Gradients:
    a, b = ctx.saved_tensors
    return (
        _matmul(grad, b.t()) if needs[0] else None,
        _matmul(a.t(), grad) if needs[1] else None,
        grad.sum(0) if needs[2] else None,
    )


declare("matmul", lambda a, b, bias: a.new_empty((a.shape[0], b.shape[1])), _backward, _setup_context)
