"""Batch norm: what the fused operations need of it, and a form that is synchronised across ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import _has_any_global_hook
from torch.nn.utils import parametrize

from ganzoo.core import distributed


def uses_batch_statistics(network: nn.Module) -> bool:
    """Whether, in training mode, the output for an image depends on the other images of the batch.

    Batch norm that stays in eval mode, as in frozen features whose `train` keeps them there, does not do that.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.train()
    try:
        norms = (module for module, _ in modes if isinstance(module, _BatchNorm))
        return any(norm.training or norm.running_mean is None for norm in norms)
    finally:
        for module, training in modes:
            module.training = training


def norm_tensors(norm: nn.BatchNorm2d) -> tuple[Tensor | None, ...]:
    """Its weight, bias, running mean and variance for the operations of `ganzoo.ops`."""
    use_running = not norm.training or norm.track_running_stats
    return (
        norm.weight,
        norm.bias,
        norm.running_mean if use_running else None,
        norm.running_var if use_running else None,
    )


def normalised(
    operation: Callable[..., Tensor], norm: nn.BatchNorm2d, *tensors: Tensor | None, **options: Any
) -> Tensor:
    """The result of an operation of `ganzoo.ops`, given `tensors`, `options` and those of the norm.

    The batch is counted as nn.BatchNorm2d.forward does, but not if it is refused.
    """
    momentum = norm.momentum or 0.0
    counter = norm.num_batches_tracked if norm.training and norm.track_running_stats else None
    if counter is not None:
        counter.add_(1)
        if norm.momentum is None:  # a cumulative average
            momentum = 1.0 / float(counter)
    training = norm.training or (norm.running_mean is None and norm.running_var is None)
    try:
        return operation(*tensors, training=training, momentum=momentum, eps=norm.eps, **options)
    except (RuntimeError, TypeError, ValueError):  # but not what ends a recomputation of torch.utils.checkpoint early
        if counter is not None:
            counter.sub_(1)
        raise


def is_stock(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether the module computes what `kind` does: it is no subclass, apart from parametrized ones, and has no hooks.

    There must be none for all modules either, and the eps of a batch norm must be one that PyTorch accepts.

    Otherwise (hooks of spectral norm, SyncBatchNorm instead of BatchNorm2d) no fused operation may replace it.
    """
    if type(module) is not kind and not (parametrize.is_parametrized(module) and isinstance(module, kind)):
        return False
    if getattr(module, "eps", 1.0) <= 0 or (not torch.compiler.is_compiling() and _has_any_global_hook()):
        return False
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return not any(hooks) and "forward" not in vars(module)  # which may be replaced on an instance


class SynchronisedBatchNorm(nn.SyncBatchNorm):
    """Batch norm with statistics over the images of all ranks: [N, C, ...] -> [N, C, ...].

    Unlike its base class, it runs on any device and can be differentiated twice. The ranks exchange means and sums of
    squared deviations M2, which combine without cancellation (Chan et al. 1983, "Algorithms for computing the sample
    variance", eq. 2.1).
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or distributed.size() == 1:
            return _BatchNorm.forward(self, input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        mean, var, count = _global_statistics(x)
        self._update_running_statistics(mean.detach(), var.detach() * (count / (count - 1)))
        shape = (1, -1) + (1,) * (x.dim() - 2)
        scale = torch.rsqrt(var + self.eps)
        shift = torch.zeros_like(mean) if self.bias is None else self.bias
        scale = scale if self.weight is None else scale * self.weight
        return torch.addcmul(shift.view(shape), x - mean.view(shape), scale.view(shape)).to(input.dtype)

    def _update_running_statistics(self, mean: Tensor, var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(var.to(self.running_var.dtype), momentum)


def _global_statistics(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and biased variance [C] over the images [N, C, ...] of all ranks, and the number of values per channel."""
    var, mean = torch.var_mean(x, [d for d in range(x.dim()) if d != 1], correction=0)
    local_count = x.numel() // x.shape[1]
    is_own = torch.arange(distributed.size(), device=x.device) == distributed.rank()
    local = torch.where(is_own[:, None, None], torch.stack([mean, var * local_count]), 0)
    means, m2s = distributed.all_reduce_sum(local).unbind(1)
    mean = means.mean(0)
    m2 = m2s.sum(0) + local_count * (means - mean).square().sum(0)
    count = local_count * distributed.size()
    return mean, m2 / count, count


def synchronise(network: nn.Module) -> None:
    """Replace every batch norm in `network`, in place, by a synchronised one that shares its parameters and buffers."""
    for parent in list(network.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, _BatchNorm):
                replacement = SynchronisedBatchNorm(norm.num_features, norm.eps, norm.momentum)
                replacement.affine, replacement.track_running_stats = norm.affine, norm.track_running_stats
                replacement._parameters, replacement._buffers = norm._parameters, norm._buffers
                setattr(parent, name, replacement.train(norm.training))
