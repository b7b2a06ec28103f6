"""A fully connected layer on the CPU, by the faster of the two matrix libraries inside PyTorch.

PyTorch sends float32 products to MKL, which takes a slower path on processors that are not Intel's: on an AMD EPYC
(Zen 5, AVX-512) a layer's forward and backward pass is 1.13 to 1.97 times as fast with oneDNN at batch 64 and 128
(benchmarks/test_linear.py). It is reached through the op that torch.compile uses for it.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WORTH_IT = 1 << 20
"""Products of fewer multiplications than this are left to PyTorch: the call costs as much as it saves."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias, as `torch.nn.functional.linear`, which is the reference: same shapes, dtypes and errors.

    `x` is [N, in], `weight` [out, in], `bias` [out]. Differentiable any number of times. What is not a large enough
    float32 product on a non-Intel CPU, or runs under autocast or torch.compile, goes to `torch.nn.functional.linear`.
    """
    if _fits(x, weight, bias) and x.shape[0] * weight.numel() >= WORTH_IT and unavailable() is None:
        result: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return result
    return F.linear(x, weight, bias)


@functools.cache
def unavailable() -> str | None:
    """Why `linear` is plain PyTorch on this machine; None where oneDNN is used."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return "this torch has no oneDNN linear op"
    if not torch.backends.mkl.is_available():
        return "this torch does not use MKL"
    if _vendor() == "GenuineIntel":
        return "MKL is at its best on Intel processors"
    return None


def _vendor() -> str:
    """The processor's maker as CPUID spells it, or what the platform says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "GenuineIntel" if "Intel" in platform.processor() else platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "unknown")


def _fits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    tensors = (x, weight) if bias is None else (x, weight, bias)
    return (
        all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
        and x.dim() == weight.dim() == 2
        and x.shape[1] == weight.shape[1]
        and (bias is None or bias.shape == weight.shape[:1])
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _Linear(torch.autograd.Function):
    """The three products of a layer; its backward is made of `linear` again, so it can be differentiated further."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (grad,) = grads
        x, weight = ctx.saved_tensors
        return (
            linear(grad, weight.t()) if ctx.needs_input_grad[0] else None,
            linear(grad.t(), x.t()) if ctx.needs_input_grad[1] else None,
            grad.sum(dim=0) if ctx.needs_input_grad[2] else None,
        )


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result
