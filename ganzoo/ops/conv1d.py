"""Convolutions of signals, and their transposes, as products of matrices.

Where a kernel reaches over several strides, as in a kernel of 25 samples with a stride of 4, neighbouring rows of the
matrix that a convolution multiplies share most of their numbers. With the channels of a sample next to each other in
memory, row t is what begins `stride` samples after row t - 1, so the matrix is a view of the padded signal and is never
copied. The three products are linear in two arguments and are each other's derivatives, so they can be differentiated
any number of times:

    <long, conv_transpose(short, weight)> = <conv(long, weight), short> = <weight_grad(short, long), weight>

A row of a product can meet zeros that PyTorch skips: those that fill up a kernel to whole strides, and those between
signals. The product of such a zero and a number that is infinite or NaN is NaN: in transposed convolutions, and so in
gradients of signals, it reaches up to `stride` - 1 samples further than in PyTorch, and it can reach any gradient
of the weight. Finite numbers are never affected.

Signals are [N, length, channels] here, and [N, channels, length] in the public functions, whose results have the
channels next to each other in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.ops.autograd import call, needed_gradients
from ganzoo.ops.dispatch import Kernels, dispatch, statically_true

MIN_WORK = 1 << 18
"""Fewest multiplications that `auto` computes as products: below, the calls take longer than they save."""
FEW_ROWS = 32
"""A signal with at most so many positions is copied row by row: rows that cross to the next signal are in vain."""


@dataclass(frozen=True)
class Rule:
    """The rule of `conv1d` and `conv_transpose1d`."""

    cuda: ClassVar[bool] = False
    transposed: bool

    def unsupported_reason(
        self, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int,
        output_padding: int = 0,
    ) -> str | None:  # fmt: skip
        for tensor in (x, weight) if bias is None else (x, weight, bias):
            if not tensor.is_cpu or tensor.layout != torch.strided:
                return "they are for dense tensors on the CPU"
            if tensor.dtype != x.dtype or x.dtype not in (torch.float32, torch.float64):
                return "they are for float32 or float64"
        if torch.is_autocast_enabled("cpu"):
            return "autocast asks for another precision than theirs"
        if torch.compiler.is_compiling():
            return "compiled programs have convolutions of their own"
        if x.dim() != 3 or weight.dim() != 3 or x.shape[1] != weight.shape[0 if self.transposed else 1]:
            return "they are for signals [N, C, L] and weights of three dimensions"
        if stride < 1 or padding < 0 or not 0 <= output_padding < stride:
            return "they are for a positive stride, padding from 0, and output_padding from 0 to below the stride"
        if bias is not None and bias.shape != (weight.shape[1 if self.transposed else 0],):
            return "the bias is for another number of channels"
        form = self.form(x, weight, stride, padding, output_padding)
        shortest = form.length if self.transposed else form.positions(weight.shape[2])
        return None if x.numel() and weight.numel() and shortest > 0 else "there is nothing to compute"

    def is_profitable(
        self, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int,
        output_padding: int = 0,
    ) -> bool:  # fmt: skip
        form = self.form(x, weight, stride, padding, output_padding)
        positions = x.shape[2] if self.transposed else form.positions(weight.shape[2])
        return statically_true(x.shape[0] * positions * weight.numel() >= MIN_WORK)

    def form(self, x: Tensor, weight: Tensor, stride: int, padding: int, output_padding: int = 0) -> Form:
        """The form that computes the call."""
        if not self.transposed:
            return Form(x.shape[2], stride, padding)
        return Form((x.shape[2] - 1) * stride - 2 * padding + weight.shape[2] + output_padding, stride, padding)


CONV = Rule(transposed=False)
CONV_TRANSPOSE = Rule(transposed=True)


class Form(NamedTuple):
    """The long signal's length, and the kernel's stride and padding."""

    length: int
    stride: int
    padding: int

    def positions(self, kernel: int) -> int:
        """The short signal's length."""
        return (self.length + 2 * self.padding - kernel) // self.stride + 1


def conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0, backend: str = "auto"
) -> Tensor:
    """Convolution of x [N, C, L] by weight [C', C, K], bias [C']; as `torch.nn.functional.conv1d`, the reference.

    Differentiable any number of times. On a GPU PyTorch computes it. In gradients, what is infinite or NaN reaches up
    to `stride` - 1 samples further than in PyTorch, and can reach any of the weight's.

    Raises what PyTorch raises, UsageError for an unknown `backend`, and NativeError if `backend` is "native" and the
    products cannot compute the call.
    """
    if dispatch(CONV, backend, x, weight, bias, stride, padding) is None:
        return F.conv1d(x, weight, bias, stride, padding)
    form = CONV.form(x, weight, stride, padding)
    return _with_bias(_apply(_Conv, x.transpose(1, 2), weight, form), bias)


def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    backend: str = "auto",
) -> Tensor:
    """The transpose, x [N, C, L] by weight [C, C', K]; as `torch.nn.functional.conv_transpose1d`, the reference.

    What is infinite or NaN reaches up to `stride` - 1 samples further than in PyTorch in the result as well; everything
    else is as in `conv1d`.
    """
    if dispatch(CONV_TRANSPOSE, backend, x, weight, bias, stride, padding, output_padding) is None:
        return F.conv_transpose1d(x, weight, bias, stride, padding, output_padding)
    form = CONV_TRANSPOSE.form(x, weight, stride, padding, output_padding)
    return _with_bias(_apply(_ConvTranspose, x.transpose(1, 2), weight, form), bias)


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, long: Tensor, weight: Tensor, form: Form) -> Tensor:
        ctx.save_for_backward(long, weight)
        ctx.form = form
        outputs, inputs, kernel = weight.shape
        rows = _rows(long, kernel, form.stride, form.padding, form.positions(kernel))
        result = _product(rows.matrix, weight.permute(2, 1, 0).reshape(kernel * inputs, outputs))
        return rows.of_positions(result)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        long, weight = ctx.saved_tensors
        return *_adjoints(ctx, grads[0], grads[0], long, weight, _ConvTranspose), None


class _ConvTranspose(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, short: Tensor, weight: Tensor, form: Form) -> Tensor:
        """Every `stride` samples of the result are one row of a product: all that `taps` positions contribute."""
        ctx.save_for_backward(short, weight)
        ctx.form = form
        inputs, outputs, kernel = weight.shape
        before, after = (form.padding + form.stride - 1) // form.stride, (kernel - 1 - form.padding) // form.stride
        taps, first = before + after + 1, before * form.stride - form.padding
        phases = F.pad(weight, (first, taps * form.stride - first - kernel)).reshape(inputs, outputs, taps, form.stride)
        matrix = phases.flip(2).permute(2, 0, 3, 1).reshape(taps * inputs, form.stride * outputs)
        frames = -(-form.length // form.stride)
        rows = _rows(short, taps, 1, after, frames)
        result = rows.of_positions(_product(rows.matrix, matrix))
        return result.reshape(len(short), frames * form.stride, outputs)[:, : form.length]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        short, weight = ctx.saved_tensors
        return *_adjoints(ctx, grads[0], short, grads[0], weight, _Conv), None


class _WeightGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, short: Tensor, long: Tensor, kernel: int, form: Form) -> Tensor:
        ctx.save_for_backward(short, long)
        ctx.form = form
        rows = _rows(long, kernel, form.stride, form.padding, short.shape[1])
        result = _product(rows.like_matrix(short).t(), rows.matrix)
        return result.view(short.shape[2], kernel, long.shape[2]).permute(0, 2, 1).contiguous()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        short, long = ctx.saved_tensors
        needs = needed_gradients(ctx)
        on_short = _apply(_Conv, long, grads[0], ctx.form) if needs[0] else None
        on_long = _apply(_ConvTranspose, short, grads[0], ctx.form) if needs[1] else None
        return on_short, on_long, None, None


def _adjoints(
    ctx: Any, grad: Tensor, short: Tensor, long: Tensor, weight: Tensor, transpose: Any
) -> tuple[Tensor | None, Tensor | None]:
    needs = needed_gradients(ctx)
    on_signal = _apply(transpose, grad, weight, ctx.form) if needs[0] else None
    if not needs[1]:
        return on_signal, None
    return on_signal, _apply(_WeightGrad, short, long, weight.shape[2], ctx.form)


class _Rows(NamedTuple):
    """What the kernel sees at each of the first `positions` of every `each` rows; the others cross to the next one."""

    matrix: Tensor
    signals: int
    positions: int
    each: int

    def of_positions(self, result: Tensor) -> Tensor:
        """The rows of positions [signals, positions, columns] of a product with `matrix`."""
        shape = (self.signals, self.positions, result.shape[1])
        return result.as_strided(shape, (self.each * result.shape[1], result.shape[1], 1))

    def like_matrix(self, signals: Tensor) -> Tensor:
        """Signals [N, positions, columns] as rows that fit `matrix`; rows that are none of positions are zeros."""
        if self.each > self.positions:
            signals = F.pad(signals, (0, 0, 0, self.each - self.positions))
        return signals.reshape(-1, signals.shape[2])[: len(self.matrix)]


def _rows(signals: Tensor, kernel: int, stride: int, padding: int, positions: int) -> _Rows:
    """What a kernel sees at so many positions of signals [N, length, C], with zeros before and after these."""
    count, length, channels = signals.shape
    each = positions - 1 + -(-kernel // stride)
    padded = F.pad(signals, (0, 0, padding, each * stride - length - padding)).contiguous()
    step, width = stride * channels, kernel * channels
    if positions <= FEW_ROWS:
        windows = padded.as_strided((count, positions, width), (each * step, step, 1))
        return _Rows(windows.reshape(-1, width), count, positions, positions)
    matrix = padded.as_strided(((count - 1) * each + positions, width), (step, 1))
    return _Rows(matrix, count, positions, each)


def _product(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype != torch.float32:
        return a @ b
    result: Tensor = call(torch.ops.ganzoo.matmul, a, b, None)
    return result


def _apply(function: Any, *arguments: Any) -> Tensor:
    result: Tensor = function.apply(*arguments)
    return result


def _with_bias(signals: Tensor, bias: Tensor | None) -> Tensor:
    signals = signals.transpose(1, 2)
    return signals if bias is None else signals + bias[:, None]
