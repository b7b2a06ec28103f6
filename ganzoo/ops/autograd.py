"""Fakes and derivatives of `torch.ops.ganzoo.*`: declared by the modules of the operations, registered on loading.

Operators are called by `call`, which lets autograd record them at a third of what torch.library's own wrappers cost:
11 instead of 31 microseconds forward. torch.compile and torch.export see the operators and what is registered.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

Gradients = tuple[Tensor | None, ...]
Needs = tuple[bool, ...]
"""For each input, whether its gradient is used."""


class Operator(NamedTuple):
    """The Python side of an operator: its fake kernel, and its derivatives as in `declare`."""

    fake: Callable[..., Any]
    backward: Callable[..., Any] | None
    setup_context: Callable[..., None] | None


_operators: dict[str, Operator] = {}
_functions: dict[Any, Any] = {}
"""The differentiable operators as functions of autograd, by their overloads."""


def declare(
    name: str,
    fake: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    setup_context: Callable[..., None] | None = None,
) -> None:
    """Declare the fake kernel and the derivatives of `torch.ops.ganzoo.<name>`, whose schema is in csrc/torch/cpu.

    `setup_context(ctx, inputs, output)` is as in `torch.library.register_autograd`; `backward(ctx, needs, *grads)` is
    told in addition which inputs' gradients are needed, and may return None for the others.
    """
    _operators[name] = Operator(fake, backward, setup_context)


def register() -> None:
    """Register everything declared with torch; once, after the binary that defines the schemas is loaded."""
    for name, operator in _operators.items():
        torch.library.register_fake(f"ganzoo::{name}", functools.partial(_on_one_device, operator.fake))
        if operator.backward is not None:
            assert operator.setup_context is not None, name
            overload = getattr(torch.ops.ganzoo, name).default
            function = _functions[overload] = _function(overload, operator.backward, operator.setup_context)
            torch.library.register_autograd(overload, function.backward, setup_context=operator.setup_context)


def call(operator: Any, *arguments: Any) -> Any:
    """The result of an operator such as `torch.ops.ganzoo.conv1x1`, recorded by autograd if an argument requires it."""
    overload = operator.default
    if torch.compiler.is_compiling() or functorch_active():
        return overload(*arguments)
    if needs_grad(*arguments):
        return _functions[overload].apply(*arguments)
    with torch._C._AutoDispatchBelowAutograd():
        return overload(*arguments)


def needs_grad(*arguments: Any) -> bool:
    """Whether autograd records an operation with these arguments."""
    if torch.is_grad_enabled():
        for argument in arguments:
            if isinstance(argument, Tensor) and argument.requires_grad:
                return True
    return False


def functorch_active() -> bool:
    """Whether torch.func or forward-mode AD is active: the operators have no rules for them and would lose tangents."""
    return bool(torch._C._are_functorch_transforms_active()) or forward_ad._current_level >= 0


def needed_gradients(ctx: Any) -> Needs:
    """For each input of an autograd function, whether this backward pass uses its gradient.

    PyTorch's own operations compute no others; `ctx.needs_input_grad` tells which inputs require one at all. A gradient
    penalty, which differentiates by the images, would compute the gradients of all weights in vain.
    """
    required: Needs = ctx.needs_input_grad
    if torch.compiler.is_compiling():  # the compiler drops what is not used
        return required
    nodes = (node for node, _ in ctx.next_functions if node is not None)  # one for each input that requires a gradient
    return tuple(requires and _executes(next(nodes)) for requires in required)


def _executes(node: Any) -> bool:
    try:
        return torch._C._will_engine_execute_node(node)
    except RuntimeError:  # of a leaf whose gradient is asked for, PyTorch cannot tell
        return True


def _function(operator: Any, backward: Callable[..., Any], setup_context: Callable[..., None]) -> Any:
    def forward(ctx: Any, *arguments: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            output = operator(*arguments)
        setup_context(ctx, arguments, output)
        return output

    def backward_of_needed(ctx: Any, *grads: Tensor) -> Any:
        return backward(ctx, needed_gradients(ctx), *grads)

    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward_of_needed)}
    return type(operator.name(), (torch.autograd.Function,), methods)


def empty_image(like: Tensor, n: Any, c: Any, h: Any, w: Any, dtype: torch.dtype | None = None) -> Tensor:
    """A channels_last tensor [n, c, h, w] on the device of `like`, for fakes."""
    return torch.empty((n, c, h, w), dtype=dtype or like.dtype, device=like.device, memory_format=torch.channels_last)


def leaky_relu_backward(grad: Tensor, out: Tensor, slope: float) -> Tensor:
    """The gradient of the input of a leaky ReLU from that of its output `out`, which has the sign of the input."""
    out = out.detach()  # only its sign matters: its gradient, zeros, would be computed and added up
    if slope == 0:  # a product with 0 would be NaN where the gradient is infinite
        return torch.ops.aten.threshold_backward(grad, out, 0)  # type: ignore[no-any-return]
    return torch.ops.aten.leaky_relu_backward(grad, out, slope, True)  # type: ignore[no-any-return]


def _on_one_device(fake: Callable[..., Any], *arguments: Any) -> Any:
    # torch calls a fake as soon as one tensor is on meta, and its result has no values
    devices = {t.device for t in arguments if isinstance(t, Tensor)}
    if len(devices) > 1:
        raise RuntimeError(f"ganzoo: expected all tensors on one device, but they are on {sorted(map(str, devices))}")
    return fake(*arguments)
