"""Batch norm with a leaky ReLU (Ioffe & Szegedy 2015, arXiv:1502.03167), as passes over [pixels, channels].

The operators are `channel_stats`, `batch_norm_act` and `batch_norm_act_backward`, which `ganzoo.ops.conv_bn` uses as
well. Scale and shift are those of each channel, or of each image and channel: conditional batch norm (Dumoulin et al.
2017, arXiv:1610.07629).
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.ops import cpu_library, cuda_library, reference
from ganzoo.ops.autograd import Gradients, Needs, call, declare, empty_image, needs_grad
from ganzoo.ops.dispatch import (
    Kernels,
    dense_reason,
    dispatch,
    float32_reason,
    is_channels_last,
    statically_true,
)

ops = torch.ops.ganzoo

MIN_VALUES, MIN_VALUES_TRAINING, MIN_VALUES_BY_IMAGE = 1 << 17, 1 << 19, 1 << 16
"""Fewest values that `auto` normalises natively: by running statistics, by those of the batch, and with a scale and
shift of each image. Below, the call costs as much as it saves."""


class BatchNorm(NamedTuple):
    """The tensors of a batch norm, each [channels] or None; weight and bias can be [images, channels]."""

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor | None
    running_var: Tensor | None


class NormRule:
    """The rule of `batch_norm_leaky_relu`."""

    cuda: ClassVar[bool] = False

    def unsupported_reason(self, kernels: Kernels, x: Tensor, norm: BatchNorm, training: bool) -> str | None:
        given = [t for t in norm if t is not None]
        # PyTorch's result is bfloat16 as well, unless each image has its own scale and shift
        of_bfloat16 = x.dtype == torch.bfloat16 and all(t.dim() == 1 for t in given) and cpu_library.has_bfloat16()
        reason = float32_reason(*given) or (dense_reason(x) if of_bfloat16 else float32_reason(x))
        if reason is not None:
            return reason
        if x.dim() != 4:
            return "they are for images [N, C, H, W]"
        if x.numel() == 0:
            return "there is nothing to compute"
        scales = [t.shape for t in norm[:2] if t is not None]
        if any(shape not in (x.shape[1:2], x.shape[:2]) for shape in scales) or len(set(scales)) > 1:
            return "weight and bias are of other images or channels"
        if any(t.shape != x.shape[1:2] for t in norm[2:] if t is not None):
            return "the running statistics are for another number of channels"
        if (norm.running_mean is None) != (norm.running_var is None):
            return "running mean and variance come together"
        if not training and norm.running_mean is None:
            return "without training there must be running statistics"
        if not training and needs_grad(x, norm.weight, norm.bias):
            return "without training they have no derivative"
        if training and x.numel() == x.shape[1]:
            return "there is one value per channel"  # PyTorch refuses this with its own message
        return None

    def is_profitable(self, kernels: Kernels, x: Tensor, norm: BatchNorm, training: bool) -> bool:
        fewest = MIN_VALUES_TRAINING if training else MIN_VALUES
        if _by_image(norm.weight, norm.bias):
            fewest = MIN_VALUES_BY_IMAGE
        return is_channels_last(x) and statically_true(x.numel() >= fewest)


NORM = NormRule()


def batch_norm_leaky_relu(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    slope: float = 0.0,
    training: bool,
    momentum: float,
    eps: float,
    backend: str = "auto",
) -> Tensor:
    """Leaky ReLU of batch norm: one pass over the images forward, besides their statistics, and two backward.

    `x` is [N, C, H, W]; `weight` and `bias` are [C], or [N, C] for a scale and shift of each image, or None; a `slope`
    of 0 means a ReLU. Running statistics and `training` are as in `ganzoo.ops.conv_bn_leaky_relu`. Differentiable any
    number of times; without `training` PyTorch computes what needs a gradient, and on a GPU everything, whatever the
    backend. Raises what PyTorch raises for tensors that do not fit together, UsageError for an unknown `backend`, and
    `NativeError` if `backend` is "native" and the kernels cannot compute the call.
    """
    norm = BatchNorm(weight, bias, running_mean, running_var)
    if dispatch(NORM, backend, x, norm, training) is None:
        return reference.batch_norm_leaky_relu(x, *norm, slope=slope, training=training, momentum=momentum, eps=eps)
    if training:
        mean, var = call(ops.channel_stats, x.detach())
        out = normalize(x, mean, var, norm, momentum, eps, slope)
    else:
        statistics = running_mean, running_var
        out = call(ops.batch_norm_act, x, *statistics, weight, bias, eps, slope)
    return out if is_channels_last(x) else out.contiguous()


def normalize(
    y: Tensor, mean: Tensor, var: Tensor, norm: BatchNorm, momentum: float, eps: float, slope: float
) -> Tensor:
    """Leaky ReLU of the batch norm of `y` by its own statistics; updates the running statistics."""
    if norm.running_mean is not None and norm.running_var is not None:
        count = y.numel() // y.shape[1]
        _update(norm.running_mean, norm.running_var, mean, var, momentum, count / (count - 1))
    return call(ops.batch_norm_act, y, mean, var, norm.weight, norm.bias, eps, slope)  # type: ignore[no-any-return]


@torch.no_grad()
def _update(
    running_mean: Tensor, running_var: Tensor, mean: Tensor, var: Tensor, momentum: float, correction: float
) -> None:
    if (
        cuda_library.is_cuda(mean) and running_mean.is_contiguous() and running_var.is_contiguous()
    ):  # one launch instead of three
        ops.update_running_statistics(mean, var, running_mean, running_var, momentum, correction)
    else:
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * correction, momentum)


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


def _backward(ctx: Any, needs: Needs, grad: Tensor) -> Gradients:
    y, mean, var, gamma, beta = ctx.saved_tensors
    if torch.is_grad_enabled():  # create_graph=True
        dy, dgamma, dbeta = _differentiable_backward(grad, y, gamma, beta, ctx.eps, ctx.slope)
    else:
        dy, dgamma, dbeta = call(ops.batch_norm_act_backward, grad, y, mean, var, gamma, beta, ctx.eps, ctx.slope)
    return dy, None, None, None if gamma is None else dgamma, None if beta is None else dbeta, None, None


def _differentiable_backward(
    grad: Tensor, y: Tensor, gamma: Tensor | None, beta: Tensor | None, eps: float, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`batch_norm_act_backward` in differentiable operations, for second derivatives."""
    grad, y = grad.float(), y.float()
    var, mean = torch.var_mean(y, (0, 2, 3), correction=0, keepdim=True)
    rstd = torch.rsqrt(var + eps)
    xhat = (y - mean) * rstd
    scale = torch.ones_like(mean) if gamma is None else gamma[..., None, None]
    shift = torch.zeros_like(mean) if beta is None else beta[..., None, None]
    grad = torch.where(xhat * scale + shift > 0, grad, grad * slope if slope else 0.0)  # inf * 0 would be NaN
    count = y.numel() // y.shape[1]
    if _by_image(gamma, beta):
        dbeta, dgamma = grad.sum((2, 3)), (grad * xhat).sum((2, 3))
        means = [(scale * t[..., None, None]).sum(0) / count for t in (dbeta, dgamma)]
        return rstd * (scale * grad - means[0] - xhat * means[1]), dgamma, dbeta
    dbeta, dgamma = grad.sum((0, 2, 3)), (grad * xhat).sum((0, 2, 3))
    dy = scale * rstd * (grad - dbeta[:, None, None] / count - xhat * dgamma[:, None, None] / count)
    return dy, dgamma, dbeta


def _by_image(gamma: Tensor | None, beta: Tensor | None) -> bool:
    """Whether each image has its own scale and shift."""
    either = beta if gamma is None else gamma
    return either is not None and either.dim() == 2


def _fake_backward(
    grad: Tensor, y: Tensor, mean: Tensor, var: Tensor, gamma: Tensor | None, beta: Tensor | None, *_: float
) -> tuple[Tensor, Tensor, Tensor]:
    shape = y.shape[:2] if _by_image(gamma, beta) else y.shape[1:2]
    dgamma, dbeta = (y.new_empty(shape, dtype=torch.float32) for _ in range(2))
    return empty_image(y, *y.shape), dgamma, dbeta


declare("channel_stats", fake_stats)
declare(
    "batch_norm_act",
    lambda y, mean, var, gamma, beta, eps, slope: empty_image(y, *y.shape),
    _backward,
    _setup_context,
)
declare("batch_norm_act_backward", _fake_backward)
declare("update_running_statistics", lambda mean, var, running_mean, running_var, momentum, correction: None)
