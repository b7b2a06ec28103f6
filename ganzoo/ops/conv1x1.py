"""1x1 convolutions with the leaky ReLUs before and after them: products over all pixels, each a single pass.

The operators are `conv1x1` and its derivatives, `conv1x1_masked` and `conv1x1_weight_grad`. With D(v) the derivative of
a leaky ReLU at v, which only depends on the signs of v, these are

    masked: D(out) W D(in) x    or, transposed, D(out) W' D(in) x        weight_grad: sum of (D(g) grad) (D(x) x)'

Where a slope is given without signs, the leaky ReLU is applied to the argument: D(x) x, but NaN where x is NaN.

Both are linear in two arguments, and their derivatives are among them, so the layer can be differentiated any number
of times, and no activation takes a pass of its own, forward or backward. `conv1x1_gradients` computes both gradients of
a layer in one pass, for backward passes that are not differentiated themselves.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ganzoo.ops import reference
from ganzoo.ops.autograd import Gradients, Needs, call, declare, empty_image, functorch_active, leaky_relu_backward
from ganzoo.ops.backend import NativeError, exporting, resolve
from ganzoo.ops.dispatch import (
    Kernels,
    dispatch,
    float32_on_cpu_reason,
    is_channels_last,
    like_reference,
    shape_reason,
    statically_true,
)

ops = torch.ops.ganzoo

MIN_CHANNELS = 16
"""Fewest channels, of both sides, that `auto` computes natively."""
MIN_PIXELS = 512
"""Fewest pixels that `auto` computes natively."""


class Conv1x1Rule:
    """The rule of `conv1x1`."""

    cuda: ClassVar[bool] = False

    def unsupported_reason(
        self, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None
    ) -> str | None:
        reason = float32_on_cpu_reason(x, weight, *(t for t in (bias, residual) if t is not None))
        reason = reason or shape_reason(x, weight, bias, 1)
        if reason is not None:
            return reason
        if residual is not None and residual.shape != (x.shape[0], weight.shape[0], *x.shape[2:]):
            return "the residual has another shape than the result"
        return None

    def is_profitable(
        self, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None
    ) -> bool:
        wide = min(weight.shape[0], weight.shape[1]) >= MIN_CHANNELS
        return wide and is_channels_last(x) and statically_true(x.numel() >= MIN_PIXELS * x.shape[1])


RULE = Conv1x1Rule()


def conv1x1(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    residual: Tensor | None = None,
    input_slope: float = 1.0,
    slope: float = 1.0,
    backend: str = "auto",
) -> Tensor:
    """leaky_relu(conv2d(leaky_relu(x, input_slope), weight, bias) + residual, slope), in a single pass.

    `x` is [N, in, H, W], `weight` [out, in, 1, 1], `bias` [out] or None, `residual` [N, out, H, W] or None. A slope of
    1 means no activation, of 0 a ReLU. The result is channels_last if `x` or `weight` is. Differentiable any number of
    times. On a GPU PyTorch computes it. On the CPU, what has no kernel is a matrix product if `x` is channels_last:
    PyTorch computes second derivatives of convolutions as convolutions with kernels of the size of the images.

    Raises what PyTorch raises for tensors that do not fit together, UsageError for an unknown `backend`, and
    `NativeError` if `backend` is "native" and the kernels cannot compute the call.
    """
    lowest = min(slope, input_slope)
    if lowest < 0 and resolve(backend) == "native":  # the backward pass takes the sign from the result
        raise NativeError(f"The native kernels cannot compute this: the slope {lowest} is negative.")
    if lowest < 0 or dispatch(RULE, backend, x, weight, bias, residual) is None:
        product = resolve(backend) != "reference" and not exporting() and _is_matrix_of_pixels(x)
        compute = reference.product1x1 if product else reference.conv1x1
        return compute(x, weight, bias, residual=residual, input_slope=input_slope, slope=slope)
    return like_reference(call(ops.conv1x1, x, weight, bias, residual, input_slope, slope), x, weight)


def _is_matrix_of_pixels(x: Tensor) -> bool:
    """Whether PyTorch's matrix products take `x` as it is; under torch.func its memory format cannot be asked for."""
    return x.is_cpu and x.dim() == 4 and not functorch_active() and is_channels_last(x)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, weight, shift, residual, ctx.input_slope, ctx.slope = inputs
    ctx.shift, ctx.residual = shift is not None, residual is not None
    ctx.save_for_backward(x, weight, output if ctx.slope != 1 else None)


def _backward(ctx: Any, needs: Needs, grad: Tensor) -> Gradients:
    x, weight, out = ctx.saved_tensors
    after = None if out is None else out.detach()
    dx, dweight = _gradients(needs, (x, None, ctx.input_slope), (grad, after, ctx.slope), weight, False)
    dshift = dresidual = None
    if (ctx.shift and needs[2]) or (ctx.residual and needs[3]):
        dresidual = grad if out is None else leaky_relu_backward(grad, out, ctx.slope)
        dshift = dresidual.sum((0, 2, 3)) if ctx.shift and needs[2] else None
    return dx, dweight, dshift, dresidual if ctx.residual else None, None, None


def _setup_masked_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, weight, ctx.transposed, in_signs, ctx.in_slope, out_signs, ctx.out_slope = inputs
    ctx.save_for_backward(x, weight, in_signs, out_signs)


def _masked_backward(ctx: Any, needs: Needs, grad: Tensor) -> Gradients:
    x, weight, in_signs, out_signs = ctx.saved_tensors
    of_x, of_grad = (x, in_signs, ctx.in_slope), (grad, out_signs, ctx.out_slope)
    return *_gradients(needs, of_x, of_grad, weight, ctx.transposed), None, None, None, None, None


Masked = tuple[Tensor, Tensor | None, float]
"""An image, the signs of a leaky ReLU, and its slope."""


def _gradients(
    needs: Needs, of_x: Masked, of_grad: Masked, weight: Tensor, transposed: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of x and the weight, of the weight, or its transpose, times x."""
    (x, *x_signs), (grad, *grad_signs) = of_x, of_grad
    if needs[0] and needs[1] and not torch.is_grad_enabled():  # in one pass, which has no derivative
        return call(ops.conv1x1_gradients, x, grad, weight, transposed, *x_signs, *grad_signs)  # type: ignore[no-any-return]
    dx = dweight = None
    if needs[0]:
        at = _signs(of_x[1], x, of_x[2])
        dx = call(ops.conv1x1_masked, grad, weight, not transposed, *grad_signs, at, of_x[2])
    if needs[1]:
        inputs, outputs = (of_grad, of_x) if transposed else (of_x, of_grad)
        dweight = call(ops.conv1x1_weight_grad, inputs[0], outputs[0], *inputs[1:], *outputs[1:])
    return dx, dweight


def _setup_weight_grad_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, grad, x_signs, ctx.x_slope, grad_signs, ctx.grad_slope = inputs
    ctx.save_for_backward(x, grad, x_signs, grad_signs)


def _weight_grad_backward(ctx: Any, needs: Needs, weight: Tensor) -> Gradients:
    x, grad, x_signs, grad_signs = ctx.saved_tensors
    dx = dgrad = None
    if needs[0]:
        at = _signs(x_signs, x, ctx.x_slope)
        dx = call(ops.conv1x1_masked, grad, weight, True, grad_signs, ctx.grad_slope, at, ctx.x_slope)
    if needs[1]:
        at = _signs(grad_signs, grad, ctx.grad_slope)
        dgrad = call(ops.conv1x1_masked, x, weight, False, x_signs, ctx.x_slope, at, ctx.grad_slope)
    return dx, dgrad, None, None, None, None


def _signs(signs: Tensor | None, x: Tensor, slope: float) -> Tensor | None:
    """Where the derivative of a leaky ReLU is taken: at `signs`, or at its input; only signs, without a gradient."""
    return x.detach() if signs is None and slope != 1 else signs


def _fake(x: Tensor, channels: Any) -> Tensor:
    return empty_image(x, x.shape[0], channels, x.shape[2], x.shape[3])


declare(
    "conv1x1",
    lambda x, weight, shift, residual, input_slope, slope: _fake(x, weight.shape[0]),
    _backward,
    _setup_context,
)
declare(
    "conv1x1_masked",
    lambda x, weight, transposed, *_: _fake(x, weight.shape[1 if transposed else 0]),
    _masked_backward,
    _setup_masked_context,
)
declare(
    "conv1x1_gradients",
    lambda x, grad, weight, *_: (_fake(x, x.shape[1]), empty_image(x, weight.shape[0], weight.shape[1], 1, 1)),
)
declare(
    "conv1x1_weight_grad",
    lambda x, grad, *_: empty_image(x, grad.shape[1], x.shape[1], 1, 1),
    _weight_grad_backward,
    _setup_weight_grad_context,
)
