"""What the layers of a network see, found by running it: no architecture's module names are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from ganzoo.core.errors import UsageError


class _Reached(Exception):  # noqa: N818  # not an error
    """Ends a forward pass at the layer of interest."""


def layers(network: nn.Module, call: Callable[[], object]) -> list[nn.Module]:
    """The layers that mix features (linear, convolutional), in the order in which `call` runs them in `network`."""
    found: list[nn.Module] = []
    candidates = [module for module in network.modules() if _mixes_features(module)]
    handles = [module.register_forward_pre_hook(lambda m, _: found.append(m)) for module in candidates]
    try:
        call()
    finally:
        _remove(handles)
    if not found:
        raise UsageError("This network has no linear or convolutional layers that torch modules compute.")
    return found


def output_of(layer: nn.Module, call: Callable[[], object]) -> Tensor:
    """The output [N, ...] of `layer` when `call` runs it; layers after it do not run."""
    return _captured(layer.register_forward_hook, lambda _, inputs, output: output, call)


def input_of(layer: nn.Module, call: Callable[[], object]) -> Tensor:
    """The first input [N, ...] of `layer` when `call` runs it; layers after it do not run."""
    return _captured(layer.register_forward_pre_hook, lambda _, inputs: inputs[0], call)


@contextlib.contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """While entered, parameters of `networks` get no gradients, which saves the time to compute them."""
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def _captured(register: Callable[..., Any], select: Callable[..., Tensor], call: Callable[[], object]) -> Tensor:
    values: list[Tensor] = []

    def hook(*arguments: Any) -> None:
        values.append(select(*arguments).clone())  # the next layer may work in place
        raise _Reached

    handle = register(hook)
    try:
        with contextlib.suppress(_Reached):
            call()
    finally:
        handle.remove()
    return values[0]


def _mixes_features(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.dim() >= 2 and not isinstance(module, nn.Embedding)


def _remove(handles: list[Any]) -> None:
    for handle in handles:
        handle.remove()
