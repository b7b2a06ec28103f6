"""A chain of generator blocks in inference: everything that depends on the modules alone is looked at once.

At batch 1 a block's checks (types, hooks, settings, shapes, autograd) take as long as a third of its arithmetic. A plan
remembers their outcome together with the state that they saw, and compares that state before every use. Weights and
statistics are read in every call, and packed weights are checked as in `ganzoo.ops.packing`.

A plan refers to the parameters and buffers that it saw. Those that are replaced (`load_state_dict(assign=True)`) are
freed with the next call in inference, with `train()`, or with a conversion such as `to` or `half`.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ganzoo.nn.batch_norm import is_stock, norm_tensors
from ganzoo.nn.blocks import ConvTransposeBNReLU, ConvTransposeTanh, fusible_transposed, plain_tanh
from ganzoo.ops.autograd import functorch_active
from ganzoo.ops.backend import exporting, resolve
from ganzoo.ops.inference import Step, image_step, one_pixel_step, up_step

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
MOST_SHAPES = 8
"""Input shapes whose steps a plan keeps at a time; one more discards them all."""

Maker = Callable[[Tensor], Step | None]
"""Makes the step of a block for images like the given ones; None if PyTorch should compute it."""


class Plan:
    """The steps of a chain for inputs of some shapes, and the state of the modules for which they were found."""

    def __init__(self, chain: GeneratorChain):
        modules = [module for module in chain.modules() if module is not chain]
        self.blocks = chain._modules
        self.modules = tuple((module, type(module), module.__dict__) for module in modules)
        tables = [module.__dict__ for module in modules]
        for module in chain.modules():
            tables += (module._modules, module._parameters, module._buffers)
        for module in modules:
            tables += (getattr(module, hooks) for hooks in HOOKS)
        self.empty = tuple(table for table in tables if not table)
        self.tables = tuple((table, tuple(table), tuple(table.values())) for table in tables if table)
        """Dictionaries of attributes, submodules, parameters, buffers and hooks; names and values that each had."""
        # isinstance(value, Tensor) takes a microsecond for each of 300 values
        self.tensors = [value for _, _, values in self.tables for value in values if Tensor in type(value).__mro__]
        self.addresses = [tensor.data_ptr() for tensor in self.tensors]
        plain = all(_is_plain(t) or t.dtype == torch.int64 for t in self.tensors)
        self.makers = _makers(chain) if plain else ()
        self.steps: dict[torch.Size, tuple[Step, ...]] = {}

    def holds(self, chain: GeneratorChain) -> bool:
        """Whether the modules are as they were. Objects are compared by identity: two tensors have no single answer."""
        if chain._modules is not self.blocks or any(self.empty):
            return False
        for module, kind, attributes in self.modules:
            if type(module) is not kind or module.__dict__ is not attributes:
                return False
        for table, names, seen in self.tables:
            if tuple(table) != names:
                return False
            if not all(map(is_, table.values(), seen)) and not all(map(_is_same, table.values(), seen)):
                return False
        return [tensor.data_ptr() for tensor in self.tensors] == self.addresses

    def run(self, x: Tensor) -> Tensor | None:
        """What the chain computes for `x`; None if PyTorch should."""
        steps = self.steps.get(x.shape)
        with torch._C._AutoDispatchBelowAutograd():
            if steps is None:
                return self._first(x)
            for step in steps:
                x = step(x)
        return x if steps else None

    def _first(self, x: Tensor) -> Tensor | None:
        """`run` for a new shape: each step is made for the images of the one before."""
        shape, steps = x.shape, list[Step]()
        for make in self.makers:
            step = make(x)
            if step is None:
                steps = []
                break
            steps.append(step)
            x = step(x)
        if len(self.steps) >= MOST_SHAPES:
            self.steps.clear()
        self.steps[shape] = tuple(steps)
        return x if steps else None


def in_inference() -> bool:
    """Whether the kernels may compute without derivatives, and nothing records or transforms what they do."""
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and resolve("auto") != "reference"
        and not exporting()
        and not torch.is_autocast_enabled("cpu")
        and not functorch_active()
        and not torch._C._len_torch_dispatch_stack()
        and not torch.overrides._get_current_function_mode_stack()
        and not torch.nn.modules.module._has_any_global_hook()
    )


Chain = TypeVar("Chain", bound="GeneratorChain")


class GeneratorChain(nn.Sequential):
    """`ConvTransposeBNReLU` blocks and a `ConvTransposeTanh`: latents [N, C, 1, 1] -> images.

    The state dict is that of nn.Sequential. In eval mode without gradients on the CPU, a `Plan` runs the blocks if
    there are kernels for all of them.
    """

    _plan: Plan | None = None

    def forward(self, input: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or self.training or not in_inference() or not _is_plain(input):
            return self._one_by_one(input)
        plan = self.__dict__.get("_plan")
        if plan is None or not plan.holds(self):
            plan = self.__dict__["_plan"] = Plan(self)
        result: Tensor | None = plan.run(input)
        return self._one_by_one(input) if result is None else result

    def _one_by_one(self, input: Tensor) -> Tensor:
        for block in self:
            input = block(input)
        return input

    def train(self: Chain, mode: bool = True) -> Chain:
        if mode:  # not in eval(), which many call before every sample
            self.__dict__.pop("_plan", None)
        return super().train(mode)

    def _apply(self: Chain, fn: Any, recurse: bool = True) -> Chain:
        self.__dict__.pop("_plan", None)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_plan"}


def _makers(chain: GeneratorChain) -> tuple[Maker, ...]:
    """What makes the step of each block; nothing if PyTorch should compute one of them for inputs of any shape."""
    makers: list[Maker] = []
    for block in chain:
        make = _maker(block)
        if make is None:
            return ()
        makers.append(make)
    return tuple(makers)


def _maker(block: Any) -> Maker | None:
    if _is_exactly(block, ConvTransposeBNReLU) and fusible_transposed(block):
        conv, norm, _ = modules = list(block)
        stock = all(map(_is_exactly, modules[:2], (nn.ConvTranspose2d, nn.BatchNorm2d)))
        if not stock or norm.training or norm.running_mean is None:
            return None

        def make(x: Tensor) -> Step | None:
            kind = one_pixel_step if x.shape[2:] == (1, 1) else up_step
            return kind(x, conv.weight, norm_tensors(norm), conv.stride[0], conv.padding[0], norm.eps)

        return make
    if _is_exactly(block, ConvTransposeTanh) and plain_tanh(block):
        return lambda x: image_step(x, block.weight, block.bias, block.stride[0], int(block.padding[0]))
    return None


def _is_exactly(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether it computes what `kind` does, from its own parameters: a parametrized one computes them in every call."""
    return type(module) is kind and is_stock(module, kind)


def _is_same(value: Any, seen: Any) -> bool:
    """Whether they are one object, or equal numbers or text, or tuples of such."""
    if type(value) is tuple and type(seen) is tuple:
        return len(value) == len(seen) and all(map(_is_same, value, seen))
    return value is seen or (type(value) is type(seen) and type(value) in (int, float, str) and value == seen)


def _is_plain(t: Tensor) -> bool:
    return type(t) in (Tensor, nn.Parameter) and t.dtype == torch.float32 and t.is_cpu
