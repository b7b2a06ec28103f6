"""Fake kernels and derivatives of `torch.ops.ganzoo.*`.

`up` (transposed convolution), `down` (convolution) and `weight_gradient` are each linear in two arguments and each
other's derivatives, so they can be differentiated any number of times:

    <big, up(small, weight)> = <down(big, weight), small> = <weight_gradient(small, big), weight>
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from ganzoo.ops import cuda

ops = torch.ops.ganzoo
NARROW = 4  # channels of a big image with kernels of its own: kNarrow of csrc/cpu/kernels.h
Gradients = tuple[Tensor | None, ...]


def register() -> None:
    """Tell torch; once, after the binary is loaded."""
    for name, fake in FAKES.items():
        torch.library.register_fake(f"ganzoo::{name}", functools.partial(_on_one_device, fake))
    for name, (backward, setup) in DERIVATIVES.items():
        torch.library.register_autograd(f"ganzoo::{name}", backward, setup_context=setup)


def _on_one_device(fake: Any, *arguments: Any) -> Any:
    """`fake`; torch takes it as soon as one tensor is on meta, and what it makes has no values."""
    devices = {t.device for t in arguments if isinstance(t, Tensor)}
    if len(devices) > 1:
        raise RuntimeError(f"ganzoo: expected all tensors on one device, but they are on {sorted(map(str, devices))}")
    return fake(*arguments)


def convolve(up: bool, x: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """`up` or `down` without anything added."""
    if up:
        return ops.up(x, weight, None, None, None, 1.0, height, width)  # type: ignore[no-any-return]
    return ops.down(x, weight, None, None, None, 1.0)  # type: ignore[no-any-return]


def norm_act_gradients(
    grad: Tensor, y: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What `norm_act_backward` computes, from differentiable operations: for derivatives of derivatives."""
    grad, y = grad.float(), y.float()
    var, mean = torch.var_mean(y, (0, 2, 3), correction=0, keepdim=True)
    rstd = torch.rsqrt(var + eps)
    xhat = (y - mean) * rstd
    scale = torch.ones_like(mean) if gamma is None else gamma[:, None, None]
    shift = torch.zeros_like(mean) if beta is None else beta[:, None, None]
    grad = torch.where(xhat * scale + shift > 0, grad, grad * slope)
    dbeta, dgamma = grad.sum((0, 2, 3)), (grad * xhat).sum((0, 2, 3))
    count = y.numel() // y.shape[1]
    dy = scale * rstd * (grad - dbeta[:, None, None] / count - xhat * dgamma[:, None, None] / count)
    return dy, dgamma, dbeta


def _image(like: Tensor, n: Any, c: Any, h: Any, w: Any, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty((n, c, h, w), dtype=dtype or like.dtype, device=like.device, memory_format=torch.channels_last)


def _fake_pack(weight: Tensor, up: bool) -> Tensor:
    cin, cout = (weight.shape[0], weight.shape[1]) if up else (weight.shape[1], weight.shape[0])
    return weight.new_empty(((cout + 31) // 32 * 32 * 16 * cin,))


def _fake_up(x: Tensor, weight: Tensor, packed: Any, scale: Any, shift: Any, slope: float, h: Any, w: Any) -> Tensor:
    return _image(x, x.shape[0], weight.shape[1], h, w)


def _fake_down(x: Tensor, weight: Tensor, packed: Any, scale: Any, shift: Any, slope: float) -> Tensor:
    return _image(x, x.shape[0], weight.shape[0], x.shape[2] // 2, x.shape[3] // 2)


def _with_statistics(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    of_channels = torch.float32  # whatever the images are
    return y, y.new_empty((y.shape[1],), dtype=of_channels), y.new_empty((y.shape[1],), dtype=of_channels)


def _fake_narrow_weight_gradient(grad: Tensor, out: Tensor, x: Tensor, up: bool, slope: float) -> tuple[Tensor, Tensor]:
    small, big = (x, grad) if up else (grad, x)
    return _image(small, small.shape[1], big.shape[1], 4, 4), grad.new_empty((grad.shape[1],))


FAKES: dict[str, Any] = {
    "pack": _fake_pack,
    "up": _fake_up,
    "down": _fake_down,
    "up_statistics": lambda x, weight, h, w: _with_statistics(_fake_up(x, weight, None, None, None, 1.0, h, w)),
    "down_statistics": lambda x, weight: _with_statistics(_fake_down(x, weight, None, None, None, 1.0)),
    "weight_gradient": lambda small, big: _image(small, small.shape[1], big.shape[1], 4, 4, torch.float32),
    "matmul": lambda a, b, bias: a.new_empty((a.shape[0], b.shape[1])),
    "channel_statistics": lambda y: _with_statistics(y)[1:],
    "up_tanh": lambda x, weight, shift, h, w: _image(x, x.shape[0], weight.shape[1], h, w),
    "narrow_input_gradient": lambda grad, out, weight, up, slope, h, w: _image(
        grad, grad.shape[0], weight.shape[0 if up else 1], h, w
    ),
    "narrow_weight_gradient": _fake_narrow_weight_gradient,
    "norm_act": lambda y, mean, var, gamma, beta, eps, slope: _image(y, *y.shape),
    "norm_act_backward": lambda grad, y, mean, var, gamma, beta, eps, slope: _with_statistics(_image(y, *y.shape)),
}


def _save_convolution(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    x, weight, _, scale, shift, slope = inputs[:6]
    ctx.save_for_backward(x, weight, output if slope != 1 else None)
    ctx.scale, ctx.shift, ctx.slope = scale is not None, shift is not None, slope


def _convolution_backward(up: bool, ctx: Any, grad: Tensor) -> Gradients:
    if ctx.scale:
        raise NotImplementedError("ganzoo: up and down with a scale are for inference and have no derivative")
    x, weight, out = ctx.saved_tensors
    if out is not None:
        if not up and _is_narrow(grad, weight):
            needs = (*ctx.needs_input_grad[:2], ctx.shift and ctx.needs_input_grad[4])
            dx, dweight, dshift = _narrow_gradients(False, grad, out, x, weight, ctx.slope, needs)
            return dx, dweight, None, None, dshift, None
        grad = torch.ops.aten.leaky_relu_backward(grad, out, ctx.slope, True)  # out has the sign of what was activated
    dx, dweight = _adjoints(up, ctx, x, weight, grad)
    dshift = grad.sum((0, 2, 3)) if ctx.shift and ctx.needs_input_grad[4] else None
    return dx, dweight, None, None, dshift, None


def _is_narrow(grad: Tensor, weight: Tensor) -> bool:
    """Whether derivatives come with the activation's in them: on the CPU, if they are not to be differentiated."""
    return weight.shape[1] <= NARROW and not cuda.takes(grad) and not torch.is_grad_enabled()


def _narrow_gradients(
    up: bool, grad: Tensor, out: Tensor, x: Tensor, weight: Tensor, slope: float, needs: tuple[bool, ...]
) -> Gradients:
    """Of input, weight and shift, those that are needed."""
    dx = dweight = dshift = None
    if needs[0]:
        dx = ops.narrow_input_gradient(grad, out, weight, up, slope, x.shape[2], x.shape[3])
    if needs[1] or needs[2]:
        dweight, dshift = ops.narrow_weight_gradient(grad, out, x, up, slope)
    return dx, dweight if needs[1] else None, dshift if needs[2] else None


def _save_up_tanh(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], output)


def _up_tanh_backward(ctx: Any, grad: Tensor) -> Gradients:
    x, weight, out = ctx.saved_tensors
    if _is_narrow(grad, weight):
        return *_narrow_gradients(True, grad, out, x, weight, 1.0, ctx.needs_input_grad), None, None
    grad = torch.ops.aten.tanh_backward(grad, out)
    return *_adjoints(True, ctx, x, weight, grad), grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None, None, None


def _adjoints(up: bool, ctx: Any, x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    dx = convolve(not up, grad, weight, x.shape[2], x.shape[3]) if ctx.needs_input_grad[0] else None
    small, big = (x, grad) if up else (grad, x)
    return dx, ops.weight_gradient(small, big) if ctx.needs_input_grad[1] else None


def _up_backward(ctx: Any, grad: Tensor) -> Gradients:
    return *_convolution_backward(True, ctx, grad), None, None


def _down_backward(ctx: Any, grad: Tensor) -> Gradients:
    return _convolution_backward(False, ctx, grad)


def _save_statistics(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])
    ctx.mark_non_differentiable(output[1], output[2])  # norm_act's gradient goes through y


def _up_statistics_backward(ctx: Any, grad: Tensor, *_: Any) -> Gradients:
    x, weight = ctx.saved_tensors
    return *_adjoints(True, ctx, x, weight, grad), None, None


def _down_statistics_backward(ctx: Any, grad: Tensor, *_: Any) -> Gradients:
    x, weight = ctx.saved_tensors
    return _adjoints(False, ctx, x, weight, grad)


def _save_pair(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _weight_gradient_backward(ctx: Any, grad: Tensor) -> Gradients:
    small, big = ctx.saved_tensors
    return (
        convolve(False, big, grad, 0, 0) if ctx.needs_input_grad[0] else None,
        convolve(True, small, grad, big.shape[2], big.shape[3]) if ctx.needs_input_grad[1] else None,
    )


def _save_product(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:2])


def _matmul_backward(ctx: Any, grad: Tensor) -> Gradients:
    a, b = ctx.saved_tensors
    return (
        ops.matmul(grad, b.t(), None) if ctx.needs_input_grad[0] else None,
        ops.matmul(a.t(), grad, None) if ctx.needs_input_grad[1] else None,
        grad.sum(0) if ctx.needs_input_grad[2] else None,
    )


def _save_norm_act(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    y, mean, var, gamma, beta, ctx.eps, ctx.slope = inputs
    ctx.save_for_backward(y, mean, var, gamma, beta)


def _norm_act_backward(ctx: Any, grad: Tensor) -> Gradients:
    y, mean, var, gamma, beta = ctx.saved_tensors
    if torch.is_grad_enabled():  # create_graph=True
        dy, dgamma, dbeta = norm_act_gradients(grad, y, gamma, beta, ctx.eps, ctx.slope)
    else:
        dy, dgamma, dbeta = ops.norm_act_backward(grad, y, mean, var, gamma, beta, ctx.eps, ctx.slope)
    return dy, None, None, None if gamma is None else dgamma, None if beta is None else dbeta, None, None


DERIVATIVES: dict[str, Any] = {
    "up": (_up_backward, _save_convolution),
    "down": (_down_backward, _save_convolution),
    "up_tanh": (_up_tanh_backward, _save_up_tanh),
    "up_statistics": (_up_statistics_backward, _save_statistics),
    "down_statistics": (_down_statistics_backward, _save_statistics),
    "weight_gradient": (_weight_gradient_backward, _save_pair),
    "matmul": (_matmul_backward, _save_product),
    "norm_act": (_norm_act_backward, _save_norm_act),
}
