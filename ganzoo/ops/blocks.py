"""The blocks of convolutional GANs, fused: (transposed) convolution, batch norm, activation.

Each function has a reference of the same name in `ganzoo.ops.reference`. The native kernels work in float32 on the CPU,
in the types of `ganzoo.ops.cuda` on a GPU, and in channels_last memory; other tensors of the right kind are converted
on the way in, NCHW at the price of a copy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.ops import cuda, native, reference
from ganzoo.ops.backend import resolve
from ganzoo.ops.choice import is_channels_last, is_native
from ganzoo.ops.derivatives import NARROW
from ganzoo.ops.linear import linear
from ganzoo.ops.packing import packed


def conv_transpose_bn_relu(
    x: Tensor,
    weight: Tensor,
    bn_weight: Tensor | None,
    bn_bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    stride: int,
    padding: int,
    training: bool,
    momentum: float,
    eps: float,
    backend: str = "auto",
) -> Tensor:
    """ReLU of batch norm (Ioffe & Szegedy 2015, arXiv:1502.03167) of a transposed convolution without bias.

    `x` is [N, in, H, W], `weight` [in, out, kH, kW]; the result is [N, out, H', W'], H' = (H - 1) stride - 2 padding +
    kH. `bn_weight`, `bn_bias`, `running_mean`, `running_var` are [out] or None, the last two both or neither. With
    `training` the batch's own statistics normalise, and the running ones (if any) become (1 - momentum) times
    themselves plus momentum times the batch's, the variance unbiased, as in `torch.nn.functional.batch_norm`; without,
    the running ones normalise. The result is channels_last if `x` or `weight` is.

    Native for kernel 4, stride 2, padding 1, and for a 1 x 1 image with padding 0; the rest goes to the reference.
    Differentiable any number of times. Raises what PyTorch raises for tensors that do not fit together, UsageError for
    an unknown `backend`, and `NativeError` if `backend` is "native" and the kernels cannot serve.
    """
    options = {"stride": stride, "padding": padding, "training": training, "momentum": momentum, "eps": eps}
    norm = (bn_weight, bn_bias, running_mean, running_var)
    first = x.dim() == 4 and x.shape[2:] == (1, 1) and padding == 0
    if not is_native(backend, "first" if first else "up", x, weight, norm, stride, padding, training):
        return reference.conv_transpose_bn_relu(x, weight, *norm, **options)  # type: ignore[arg-type]
    x = _in_autocast(x)
    if first:
        rows = weight.permute(2, 3, 1, 0).flatten(0, 2).to(x.dtype)
        product = linear(x.flatten(1), rows, backend="reference" if cuda.takes(x) else backend)
        y = product.view(-1, *weight.shape[2:], weight.shape[1]).permute(0, 3, 1, 2)
        if training:
            mean, var = torch.ops.ganzoo.channel_statistics(y.detach())
            out = _normalise(y, mean, var, norm, momentum, eps, 0.0)
        else:
            out = _apply(y, *_fold(norm, eps), 0.0)
    else:
        out = _convolve("up", x, weight, norm, training, momentum, eps, 0.0)
    return _in_format_of(out, x, weight)


def conv_bn_leaky_relu(
    x: Tensor,
    weight: Tensor,
    bn_weight: Tensor | None,
    bn_bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    stride: int = 2,
    padding: int = 1,
    slope: float = 0.2,
    training: bool,
    momentum: float,
    eps: float,
    backend: str = "auto",
) -> Tensor:
    """Leaky ReLU of batch norm of a convolution without bias: the adjoint of `conv_transpose_bn_relu`.

    `x` is [N, in, H, W], `weight` [out, in, kH, kW]; the result is [N, out, H', W'], H' = (H + 2 padding - kH) //
    stride + 1, negative values times `slope`. Everything else is as there; native for kernel 4, stride 2, padding 1.
    """
    norm = (bn_weight, bn_bias, running_mean, running_var)
    if not is_native(backend, "down", x, weight, norm, stride, padding, training):
        return reference.conv_bn_leaky_relu(
            x, weight, *norm, stride=stride, padding=padding, slope=slope, training=training, momentum=momentum, eps=eps
        )
    x = _in_autocast(x)
    return _in_format_of(_convolve("down", x, weight, norm, training, momentum, eps, slope), x, weight)


def conv_leaky_relu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: int = 2,
    padding: int = 1,
    slope: float = 0.2,
    backend: str = "auto",
) -> Tensor:
    """Leaky ReLU of a convolution with bias, [out] or None: `conv_bn_leaky_relu` without the batch norm."""
    if slope < 0 and resolve(backend) == "native":  # its derivative takes the sign from the result
        raise native.NativeError(f"The native kernels cannot compute this: {slope=} is negative.")
    if slope < 0 or not is_native(backend, "plain", x, weight, (bias,), stride, padding, False):
        return reference.conv_leaky_relu(x, weight, bias, stride=stride, padding=padding, slope=slope)
    x = _in_autocast(x)
    used_once = weight.shape[1] <= NARROW or _differentiates(x, weight, bias)
    panels = None if used_once else packed(weight, False, x)
    shift = None if bias is None else bias.float()
    return _in_format_of(torch.ops.ganzoo.down(x, weight, panels, None, shift, slope), x, weight)


def conv_transpose_tanh(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 2, padding: int = 1, backend: str = "auto"
) -> Tensor:
    """tanh of a transposed convolution with bias, [out] or None: the last layer of a generator.

    Shapes and errors are those of `conv_transpose_bn_relu`; native for kernel 4, stride 2, padding 1 and images of 1 to
    4 channels, on the CPU. On a GPU it is PyTorch's, whatever the backend.
    """
    if cuda.takes(x) or not is_native(backend, "last", x, weight, (bias,), stride, padding, False):
        return reference.conv_transpose_tanh(x, weight, bias, stride=stride, padding=padding)
    run, size = torch.ops.ganzoo.up_tanh.default, (2 * x.shape[2], 2 * x.shape[3])
    differentiates = _differentiates(x, weight, bias)
    out = run(x, weight, bias, *size) if differentiates else native.undifferentiated(run, x, weight, bias, *size)
    return _in_format_of(out, x, weight)


def _convolve(
    kind: str, x: Tensor, weight: Tensor, norm: tuple[Tensor | None, ...], training: bool, momentum: float, eps: float,
    slope: float,
) -> Tensor:  # fmt: skip
    ops = torch.ops.ganzoo
    run = ops.up.default if kind == "up" else ops.down.default
    size: tuple[int, ...] = (2 * x.shape[2], 2 * x.shape[3]) if kind == "up" else ()
    if training:
        y, mean, var = (ops.up_statistics if kind == "up" else ops.down_statistics)(x, weight, *size)
        return _normalise(y, mean, var, norm, momentum, eps, slope)
    scale, shift = _fold(norm, eps)
    if _differentiates(x, weight, scale, shift):
        return _apply(run(x, weight, None, None, None, 1.0, *size), scale, shift, slope)
    panels = packed(weight, kind == "up", x)
    out: Tensor = native.undifferentiated(run, x, weight, panels, scale, shift, slope, *size)
    return out


def _normalise(
    y: Tensor, mean: Tensor, var: Tensor, norm: tuple[Tensor | None, ...], momentum: float, eps: float, slope: float
) -> Tensor:
    gamma, beta, running_mean, running_var = norm
    if running_mean is not None and running_var is not None:
        count = y.numel() // y.shape[1]
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(var * (count / (count - 1)), momentum)
    out: Tensor = torch.ops.ganzoo.norm_act(y, mean, var, gamma, beta, eps, slope)
    return out


def _fold(norm: tuple[Tensor | None, ...], eps: float) -> tuple[Tensor, Tensor]:
    """scale and shift with batch_norm(y) = scale * y + shift. They ride in the epilogue: weights stay as they are."""
    gamma, beta, mean, var = norm
    assert mean is not None
    assert var is not None
    scale = torch.rsqrt(var.float() + eps)
    if gamma is not None:
        scale = scale * gamma
    return scale, -mean * scale if beta is None else torch.addcmul(beta, mean, scale, value=-1)


def _apply(y: Tensor, scale: Tensor, shift: Tensor, slope: float) -> Tensor:
    scaled = y * scale[:, None, None] + shift[:, None, None]
    return torch.nn.functional.leaky_relu(scaled.to(y.dtype), slope)


def _in_autocast(x: Tensor) -> Tensor:
    """`x` in the dtype autocast asks for, on a GPU; the kernels convert the weight themselves."""
    return x.to(cuda.computed_in(x)) if cuda.takes(x) else x


def _differentiates(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def _in_format_of(out: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """`out`, which is channels_last, in the memory format that PyTorch's convolutions would give it."""
    return out if is_channels_last(x) or is_channels_last(weight) else out.contiguous()


__all__: list[str] = ["conv_bn_leaky_relu", "conv_leaky_relu", "conv_transpose_bn_relu", "conv_transpose_tanh"]
