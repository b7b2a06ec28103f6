"""Backward passes compute the gradients that are used, and no others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganzoo import ops
from ganzoo.nn import Conv1d, ConvTranspose1d, Linear
from ganzoo.ops import conv1x1, conv3x3
from tests.ops.conftest import Recorder, needs_native
from tests.ops.test_blocks import BLOCKS


class Conv1x1(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return conv1x1(input, self.weight, self.bias, input_slope=0.2, slope=0.2)


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **BLOCKS,
    "1x1": (lambda: Conv1x1(9, 20, 1), (3, 9, 7, 8)),
    "linear": (lambda: Linear(9, 20), (3, 9)),
    "signal": (lambda: Conv1d(9, 20, 25, stride=4, padding=11), (3, 9, 64)),
    "longer signal": (lambda: ConvTranspose1d(9, 20, 25, stride=4, padding=11), (3, 9, 16)),
}
NEEDS = {"of the images": (True, False), "of the weights": (False, True)}


@needs_native
@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("of", NEEDS)
@pytest.mark.parametrize("create_graph", [False, True])
def test_only_the_gradients_in_use_are_computed(kind: str, of: str, create_graph: bool) -> None:
    build, shape = MODULES[kind]
    module, x = build(), torch.randn(shape, requires_grad=True)
    with ops.use_backend("native"):
        out = module(x).square().sum()

    def differentiate(by_x: bool, by_weights: bool) -> tuple[list[Tensor], list[str]]:
        inputs: Any = [x] * by_x + list(module.parameters()) * by_weights
        with Recorder() as recorder:
            grads = torch.autograd.grad(out, inputs, create_graph=create_graph, retain_graph=True)
        return list(grads), [name for name in recorder.names if name.startswith("ganzoo")]

    both, operators = differentiate(True, True)
    some, fewer = differentiate(*NEEDS[of])
    both_at_once = "ganzoo::conv1x1_gradients"  # all others compute the gradient of one input, or of the parameters
    assert len(fewer) < len(operators) or (both_at_once in operators and both_at_once not in fewer), fewer
    for gradient, expected in zip(some, both if NEEDS[of][0] else both[1:]):
        torch.testing.assert_close(gradient, expected, rtol=0, atol=0)


@needs_native
def test_inputs_of_every_kind_get_their_gradients() -> None:
    def gradients(backend: str) -> list[Tensor]:
        torch.manual_seed(0)
        leaf, weight = torch.randn(2, 8, 6, 5, requires_grad=True), torch.randn(8, 8, 3, 3, requires_grad=True)
        x = 2 * leaf
        out = conv3x3(x, weight, residual=x, slope=0.2, backend=backend).pow(2).sum()  # x is two of its inputs
        of_leaf, of_x = (torch.autograd.grad(out, of, retain_graph=True)[0] for of in (leaf, x))
        out.backward(retain_graph=True, inputs=[weight])  # type: ignore[no-untyped-call]
        assert leaf.grad is None
        assert weight.grad is not None
        of_weight = weight.grad.clone()
        out.backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        return [of_leaf, of_x, of_weight, leaf.grad, weight.grad]

    for actual, expected in zip(gradients("native"), gradients("reference")):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-3)
