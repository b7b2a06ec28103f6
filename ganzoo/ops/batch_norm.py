"""Batch norm with a leaky ReLU (Ioffe & Szegedy 2015, arXiv:1502.03167), as passes over [pixels, channels].

The operators are `channel_stats`, `batch_norm_act` and `batch_norm_act_backward`, which `ganzoo.ops.conv_bn` uses.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.ops.autograd import Gradients, declare, empty_image
from ganzoo.ops.dispatch import below_autograd, needs_grad

ops = torch.ops.ganzoo


class BatchNorm(NamedTuple):
    """The tensors of a batch norm, each [channels] or None."""

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None


def normalize(
    y: Tensor, mean: Tensor, var: Tensor, norm: BatchNorm, momentum: float, eps: float, slope: float
) -> Tensor:
    """Leaky ReLU of the batch norm of `y` by its own statistics; updates the running statistics."""
    if norm.running_mean is not None and norm.running_var is not None:
        count = y.numel() // y.shape[1]
        with torch.no_grad():
            norm.running_mean.lerp_(mean, momentum)
            norm.running_var.lerp_(var * (count / (count - 1)), momentum)
    arguments = (y, mean, var, norm.weight, norm.bias, eps, slope)
    operator = ops.batch_norm_act.default
    recorded = needs_grad(y, norm.weight, norm.bias)
    out: Tensor = operator(*arguments) if recorded else below_autograd(operator, *arguments)
    return out


def fold(norm: BatchNorm, eps: float) -> tuple[Tensor, Tensor]:
    """scale and shift with batch_norm(y) = scale * y + shift, by the running statistics."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var.float() + eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    if norm.bias is None:
        return scale, -norm.running_mean * scale
    return scale, torch.addcmul(norm.bias, norm.running_mean, scale, value=-1)


def scale_shift_act(y: Tensor, scale: Tensor, shift: Tensor, slope: float) -> Tensor:
    """leaky_relu(scale * y + shift) in PyTorch's operations."""
    scaled = (y * scale[:, None, None] + shift[:, None, None]).to(y.dtype)
    return F.relu(scaled) if slope == 0 else F.leaky_relu(scaled, slope)


def fake_stats(y: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and variance of each channel, which are float32 for images of any dtype."""
    return y.new_empty((y.shape[1],), dtype=torch.float32), y.new_empty((y.shape[1],), dtype=torch.float32)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    y, mean, var, gamma, beta, ctx.eps, ctx.slope = inputs
    ctx.save_for_backward(y, mean, var, gamma, beta)


def _backward(ctx: Any, grad: Tensor) -> Gradients:
    y, mean, var, gamma, beta = ctx.saved_tensors
    if torch.is_grad_enabled():  # create_graph=True
        dy, dgamma, dbeta = _differentiable_backward(grad, y, gamma, beta, ctx.eps, ctx.slope)
    else:
        dy, dgamma, dbeta = ops.batch_norm_act_backward(grad, y, mean, var, gamma, beta, ctx.eps, ctx.slope)
    return dy, None, None, None if gamma is None else dgamma, None if beta is None else dbeta, None, None


def _differentiable_backward(
    grad: Tensor, y: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`batch_norm_act_backward` in differentiable operations, for second derivatives."""
    grad, y = grad.float(), y.float()
    var, mean = torch.var_mean(y, (0, 2, 3), correction=0, keepdim=True)
    rstd = torch.rsqrt(var + eps)
    xhat = (y - mean) * rstd
    scale = torch.ones_like(mean) if gamma is None else gamma[:, None, None]
    shift = torch.zeros_like(mean) if beta is None else beta[:, None, None]
    grad = torch.where(xhat * scale + shift > 0, grad, grad * slope if slope else 0.0)  # inf * 0 would be NaN
    dbeta, dgamma = grad.sum((0, 2, 3)), (grad * xhat).sum((0, 2, 3))
    count = y.numel() // y.shape[1]
    dy = scale * rstd * (grad - dbeta[:, None, None] / count - xhat * dgamma[:, None, None] / count)
    return dy, dgamma, dbeta


declare("channel_stats", fake_stats)
declare(
    "batch_norm_act",
    lambda y, mean, var, gamma, beta, eps, slope: empty_image(y, *y.shape),
    _backward,
    _setup_context,
)
declare(
    "batch_norm_act_backward",
    lambda grad, y, mean, var, gamma, beta, eps, slope: (empty_image(y, *y.shape), *fake_stats(y)),
)
