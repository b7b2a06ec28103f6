"""torch's Adam and RMSprop without the import of torch.compile, which takes as long as the import of torch."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch
from torch import Tensor

Optimizer = TypeVar("Optimizer", bound=torch.optim.Optimizer)
_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def _unwrapped(optimizer: type[Optimizer], **overridden: Any) -> type[Optimizer]:
    """A subclass of a class of torch.optim that computes the same.

    torch wraps these methods and `step` to keep torch.compile out of them, and the wrappers import it even where it is
    not used.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(optimizer, name)) for name in _WRAPPED}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods | overridden)


def _init_group(self: torch.optim.Adam, group: dict[str, Any], *lists: list[Tensor]) -> bool:
    """Collect what a step needs: parameters, gradients and averages, which fused Adam gets in the order of memory.

    On a CPU it copies each gradient in channels_last to NCHW, which takes longer than the rest of the step, and ignores
    the copy. It computes the same from views of the tensors as NHWC.
    """
    has_complex: bool = torch.optim.Adam._init_group(self, group, *lists)  # type: ignore[attr-defined]
    if group["fused"]:
        given = [each for each in lists[:5] if each]  # the sixth is of numbers of steps
        for number, tensors in enumerate(zip(*given)):
            if tensors[0].is_cpu and all(_only_channels_last(tensor) for tensor in tensors):
                for each in given:
                    each[number] = each[number].permute(0, 2, 3, 1)
    return has_complex


def _only_channels_last(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


Adam = _unwrapped(torch.optim.Adam, _init_group=_init_group)
RMSprop = _unwrapped(torch.optim.RMSprop)
