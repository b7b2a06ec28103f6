"""torch's Adam and RMSprop without the import of torch.compile, which takes as long as the import of torch."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch

Optimizer = TypeVar("Optimizer", bound=torch.optim.Optimizer)
_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def _unwrapped(optimizer: type[Optimizer]) -> type[Optimizer]:
    """A subclass of a class of torch.optim that computes the same.

    torch wraps these methods and `step` to keep torch.compile out of them, and the wrappers import it even where it is
    not used.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(optimizer, name)) for name in _WRAPPED}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods)


Adam = _unwrapped(torch.optim.Adam)
RMSprop = _unwrapped(torch.optim.RMSprop)
