"""Optimizers of torch that do not import torch.compile, which would take as long as importing torch."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch

Optimizer = TypeVar("Optimizer", bound=torch.optim.Optimizer)
_WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def _plain(optimizer: type[Optimizer]) -> type[Optimizer]:
    """A subclass of a class of torch.optim that computes the same.

    torch wraps these methods and `step` so that torch.compile leaves them alone, and the wrappers import it even where
    nothing is compiled.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(optimizer, name)) for name in _WRAPPED}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods)


Adam = _plain(torch.optim.Adam)
RMSprop = _plain(torch.optim.RMSprop)
