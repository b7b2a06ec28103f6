"""The fused blocks under torch.compile, torch.export, torch.func, forward-mode AD and fake tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from ganzoo import ops
from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU, ConvTransposeTanh, Linear
from ganzoo.ops import NativeError
from ganzoo.ops.dispatch import BlockRule
from ganzoo.ops.linear import LinearRule
from ganzoo.ops.resample import ResampleRule
from ganzoo.ops.stride1 import Stride1Rule
from tests.ops.conftest import close, needs_native, shaken
from tests.ops.test_blocks import every_block, gradients, make, plain


@contextlib.contextmanager
def forced_auto() -> Iterator[None]:
    """`auto` as if the kernels were faster for every shape."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlockRule, "is_profitable", lambda *_: True)
        patch.setattr(Stride1Rule, "is_profitable", lambda *_: True)
        patch.setattr(LinearRule, "is_profitable", lambda *_: True)
        patch.setattr(ResampleRule, "is_profitable", lambda *_: True)
        yield


def as_float(values: Any) -> Any:
    return tuple(v.float() for v in values) if isinstance(values, tuple) else values.float()


@needs_native
@every_block
def test_torch_fx_traces_plain_pytorch(kind: str) -> None:
    block, x = make(kind, training=False)
    with forced_auto():
        traced = torch.fx.symbolic_trace(block)
        assert "ganzoo" not in traced.code
        close(traced(x), plain(block)(x.double()))


@needs_native
@every_block
@pytest.mark.parametrize("training", [True, False])
def test_torch_compile_has_no_graph_break(kind: str, training: bool) -> None:
    block, x = make(kind, training)
    exact = gradients(plain(block), x.double())
    with ops.use_backend("native"):
        compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
        for tensor, expected in zip(gradients(compiled, x), exact):
            close(tensor, expected)
        with torch.no_grad():
            close(compiled(x), plain(block)(x.double()))
    torch.compiler.reset()


@needs_native
@pytest.mark.parametrize("kind", ["up", "same, plain", "upsample"])
def test_torch_compile_has_no_graph_break_when_the_backend_is_chosen(kind: str) -> None:
    block, x = make(kind)
    with forced_auto():
        close(torch.compile(block, fullgraph=True, backend="aot_eager")(x), plain(block)(x.double()))
    torch.compiler.reset()


@needs_native
@every_block
@pytest.mark.parametrize("differentiated", [True, False])
def test_transforms_use_the_reference(kind: str, differentiated: bool) -> None:
    block, x = make(kind, training=False)
    exact = plain(block)
    if not differentiated:
        block.requires_grad_(False)
    functions: list[Callable[[nn.Module, Tensor], Any]] = [
        lambda network, x: torch.func.jvp(network, (x,), (torch.ones_like(x),)),
        lambda network, x: torch.func.grad(lambda x: network(x).square().sum())(x),
        lambda network, x: torch.func.vmap(network)(torch.stack([x, -x])),
        lambda network, x: torch.func.functional_call(network, dict(network.named_parameters()), x),
    ]
    with torch.set_grad_enabled(differentiated), forced_auto():
        for function in functions:
            torch.testing.assert_close(function(block, x), as_float(function(exact, x.double())), rtol=1e-3, atol=1e-4)
        with forward_ad.dual_level():
            out = block(forward_ad.make_dual(x, torch.ones_like(x)))
            expected = exact(forward_ad.make_dual(x.double(), torch.ones_like(x).double()))
            close(forward_ad.unpack_dual(out).tangent, forward_ad.unpack_dual(expected).tangent)
    with ops.use_backend("native"), pytest.raises(NativeError, match="forward-mode AD"):
        torch.func.jvp(block, (x,), (x,))


@needs_native
@every_block
def test_gradients_of_many_outputs_at_once(kind: str) -> None:
    block, x = make(kind)
    x.requires_grad_()
    with ops.use_backend("native"):
        out = block(x)
        directions = torch.stack([torch.ones_like(out), out.detach()])
        together = torch.autograd.grad(out, [x], directions, is_grads_batched=True, retain_graph=True)[0]
        for direction, gradient in zip(directions, together):
            torch.testing.assert_close(gradient, torch.autograd.grad(out, [x], direction, retain_graph=True)[0])


@needs_native
@every_block
def test_torch_export(kind: str) -> None:
    block, x = make(kind, training=False)
    with ops.use_backend("native"):
        exported = torch.export.export(block, (x,)).module()
    close(exported(x), plain(block)(x.double()))


@pytest.mark.parametrize("training", [False, True])
@every_block
def test_auto_exports_and_traces_plain_pytorch(kind: str, training: bool) -> None:
    block, x = make(kind, training)
    with forced_auto():
        block(x)  # packs the weights, which must not become constants of the trace
        program = torch.export.export(block, (x,)).graph_module
        traced = torch.jit.trace(block, x, check_trace=False)
    operators = {str(node.target) for node in program.graph.nodes} | {n.kind() for n in traced.inlined_graph.nodes()}
    assert "aten::_convolution" in operators
    assert not [name for name in operators if name.startswith("ganzoo")]
    other = shaken(make(kind, training)[0])
    traced.load_state_dict(other.state_dict())
    close(traced(x), plain(other)(x.double()))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("n", [16, 1])
def test_an_exported_program_is_for_every_batch_size(n: int, strict: bool) -> None:
    generator = nn.Sequential(
        ConvTransposeBNReLU(100, 64, 4, 1, 0), ConvTransposeBNReLU(64, 32), ConvTransposeTanh(32, 3), nn.Flatten(),
        Linear(768, 64),
    )  # fmt: skip
    network = nn.Sequential(generator, nn.Unflatten(1, (1, 8, 8)), ConvBNLeakyReLU(1, 64, norm=False))
    network.append(ConvBNLeakyReLU(64, 64))
    z = torch.randn(16, 100, 1, 1)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(shaken(network).eval(), (z,), dynamic_shapes=({0: batch},), strict=strict)
    close(program.module()(z[:n]), network(z[:n]))


@needs_native
def test_the_operators_accept_fake_tensors() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), ops.use_backend("native"):
        assert ConvTransposeBNReLU(4, 8).eval()(torch.empty(2, 4, 3, 3)).shape == (2, 8, 6, 6)
