"""A chain of generator blocks in inference: everything that depends on the modules alone is looked at once.

At batch 1 a block's checks (types, hooks, settings, shapes, autograd) take as long as a third of its arithmetic. A plan
remembers their outcome together with the state that they saw, and compares that state before every use. Weights and
statistics are read in every call, and packed weights are checked as in `ganzoo.ops.packing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.nn.batch_norm import is_stock, norm_tensors
from ganzoo.nn.blocks import ConvTransposeBNReLU, ConvTransposeTanh, fusible_transposed, plain_tanh
from ganzoo.ops.backend import exporting, resolve
from ganzoo.ops.inference import Step, image_step, one_pixel_step, up_step

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Plan:
    """The steps of a chain for inputs of one shape, and the modules and tensors for which they were found."""

    shape: torch.Size
    steps: tuple[Step, ...]
    modules: tuple[tuple[nn.Module, dict[str, Any]], ...]
    """Each module and a copy of its attributes."""
    tables: tuple[tuple[dict[str, Any], tuple[tuple[str, Any], ...]], ...]
    """Their dictionaries of submodules, parameters and buffers, and what each contained."""
    addresses: tuple[tuple[Tensor, int], ...]

    def holds(self, x: Tensor) -> bool:
        """Whether the plan was made for such an input, nothing has changed, and no hook looks inside."""
        if x.shape != self.shape:
            return False
        for table, items in self.tables:
            if len(table) != len(items):
                return False
            for name, value in items:
                if table.get(name) is not value:
                    return False
        for tensor, address in self.addresses:
            if tensor.data_ptr() != address:
                return False
        for module, attributes in self.modules:
            if module.__dict__ != attributes:
                return False
            if self.steps and any(attributes[hooks] for hooks in HOOKS):
                return False
        return True

    def run(self, x: Tensor) -> Tensor:
        with torch._C._AutoDispatchBelowAutograd():
            for step in self.steps:
                x = step(x)
        return x


def in_inference() -> bool:
    """Whether the kernels may compute without derivatives, and nothing records or transforms what they do."""
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and resolve("auto") != "reference"
        and not exporting()
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()
        and not torch.overrides._get_current_function_mode_stack()
        and not torch.nn.modules.module._has_any_global_hook()
    )


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
        if plan is None or not plan.holds(input):
            plan = self.__dict__["_plan"] = _plan(self, input)
        result: Tensor = plan.run(input) if plan.steps else self._one_by_one(input)
        return result

    def _one_by_one(self, input: Tensor) -> Tensor:
        for block in self:
            input = block(input)
        return input

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_plan"}


def _step(block: Any, x: Tensor) -> Step | None:
    """What the kernels do for `block` with images like `x`; None if PyTorch computes it."""
    if _is_exactly(block, ConvTransposeBNReLU) and fusible_transposed(block):
        conv, norm, _ = modules = list(block)
        stock = all(map(_is_exactly, modules[:2], (nn.ConvTranspose2d, nn.BatchNorm2d)))
        if not stock or norm.training or norm.running_mean is None:
            return None
        make = one_pixel_step if x.shape[2:] == (1, 1) else up_step
        return make(x, conv.weight, norm_tensors(norm), conv.stride[0], conv.padding[0], norm.eps)
    if _is_exactly(block, ConvTransposeTanh) and plain_tanh(block):
        return image_step(x, block.weight, block.bias, block.stride[0], int(block.padding[0]))
    return None


def _is_exactly(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether it computes what `kind` does, from its own parameters: a parametrized one computes them in every call."""
    return type(module) is kind and is_stock(module, kind)


def _plan(chain: GeneratorChain, input: Tensor) -> Plan:
    """The plan for inputs like this one; without steps if PyTorch should compute a block."""
    steps: list[Step] = []
    x = input
    for block in chain:
        step = _step(block, x)
        if step is None:
            steps = []
            break
        steps.append(step)
        x = step(x)
    modules = tuple((module, dict(module.__dict__)) for module in chain.modules() if module is not chain)
    tables = tuple(
        (table, tuple(table.items()))
        for module in chain.modules()
        for table in (module._modules, module._parameters, module._buffers)
    )
    tensors = [value for _, items in tables for _, value in items if isinstance(value, Tensor)]
    if not all(_is_plain(t) or t.dtype == torch.int64 for t in tensors):
        steps = []
    return Plan(input.shape, tuple(steps), modules, tables, tuple((t, t.data_ptr()) for t in tensors))


def _is_plain(t: Tensor) -> bool:
    return type(t) in (Tensor, nn.Parameter) and t.dtype == torch.float32 and t.is_cpu
