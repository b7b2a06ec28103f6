"""The plan of a generator in inference: used where it holds, and never after something has changed."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ganzoo.core.spec import DataSpec
from ganzoo.nn.dcgan import Generator
from ganzoo.nn.generator_plan import GeneratorChain
from ganzoo.ops import use_backend
from tests.ops.conftest import close, needs_native, shaken

Z = torch.randn(2, 70, generator=torch.Generator().manual_seed(0))


def generator(width: int = 32) -> Generator:
    network = Generator(70, width, DataSpec(3, 16)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return shaken(network.eval())  # type: ignore[return-value]


def generate(network: nn.Module, z: Tensor = Z) -> Tensor:
    with torch.no_grad():
        return network(z)  # type: ignore[no-any-return]


def expected(network: nn.Module, z: Tensor = Z) -> Tensor:
    with use_backend("reference"):
        return generate(network, z)


def has_plan(network: Any) -> bool:
    plan = network.blocks.__dict__.get("_plan")
    return plan is not None and bool(plan.steps)


class Seven(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.full_like(images, 7.0)


def move_one_value(network: Any) -> None:
    network.blocks[0][1].bias.data[3] += 2  # one value, which leaves no trace in a version


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a weight": lambda g: g.blocks[1][0].weight.mul_(2),
    "a weight through .data": lambda g: g.blocks[1][0].weight.data.mul_(2),
    "a weight's memory": lambda g: setattr(g.blocks[1][0].weight, "data", g.blocks[1][0].weight.data * 2),
    "the first weight": lambda g: g.blocks[0][0].weight.data.mul_(2),
    "the last weight": lambda g: g.blocks[-1].weight.data.mul_(2),
    "one value of a batch norm": move_one_value,
    "a running mean": lambda g: g.blocks[1][1].running_mean.add_(1),
    "a parameter": lambda g: setattr(g.blocks[1][0], "weight", nn.Parameter(2 * g.blocks[1][0].weight.detach())),
    "all weights": lambda g: g.load_state_dict(shaken(generator(), seed=7).state_dict()),
    "all parameters": lambda g: g.load_state_dict(shaken(generator(), seed=7).state_dict(), assign=True),
    "a setting": lambda g: setattr(g.blocks[1][1], "eps", 0.5),
    "a module": lambda g: setattr(g.blocks[1], "2", nn.Identity()),
    "one module more": lambda g: g.blocks.append(Seven()),
    "one module less": lambda g: g.blocks[1].pop(2),
    "a hook": lambda g: g.blocks[1].register_forward_hook(lambda module, inputs, output: output + 1),
    "a hook inside": lambda g: g.blocks[1][1].register_forward_hook(lambda module, inputs, output: output + 1),
    "a forward": lambda g: setattr(g.blocks[1], "forward", lambda images: images.new_ones(2, 32, 8, 8)),
    "batch statistics": lambda g: g.blocks[0][1].train(),
}


@needs_native
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_takes_effect(change: str) -> None:
    network = generator()
    before = generate(network)
    assert has_plan(network)
    close(before, expected(network))
    assert torch.equal(generate(network), before)
    with torch.no_grad():
        CHANGES[change](network)
    after = generate(network)
    assert not torch.allclose(after, before, atol=1e-3)
    close(after, expected(network))


@needs_native
def test_other_batches_types_and_modes() -> None:
    network = generator()
    before = generate(network)
    for n in (1, 5, 2):
        close(generate(network, Z[:1].expand(n, 70)), expected(network, Z[:1].expand(n, 70)))
    z = Z.clone().requires_grad_()
    assert network(z).requires_grad
    network.train()
    assert not torch.allclose(generate(network), before, atol=1e-3)
    network.eval().double()
    close(generate(network, Z.double()), expected(network, Z.double()))


@needs_native
def test_a_plan_stays_with_its_network() -> None:
    network = generator()
    before = generate(network)
    names = list(network.state_dict())
    assert names[0] == "blocks.0.0.weight"
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert not has_plan(other)
        assert torch.equal(generate(other), before)
        with torch.no_grad():
            other.blocks[1][0].weight.mul_(2)
        assert not torch.allclose(generate(other), before, atol=1e-3)
    assert torch.equal(generate(network), before)


class Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function))
        return function(*args, **kwargs or {})


@needs_native
def test_nothing_is_hidden_from_those_who_record() -> None:
    network = generator()
    before = generate(network)
    with Recorder() as recorder:
        close(generate(network), before)
    assert len(recorder.names) > 3
    traced = torch.jit.trace(network, Z)
    assert "ganzoo::" not in str(traced.inlined_graph)
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    close(generate(compiled), before)
    replaced = {"blocks.1.0.weight": 2 * network.blocks[1][0].weight.detach()}  # type: ignore[index]
    with torch.no_grad():
        other = torch.func.functional_call(network, replaced, (Z,))
        close(torch.vmap(network)(Z[:, None])[:, 0], before)
    assert not torch.allclose(other, before, atol=1e-3)
    close(generate(network), before)


@needs_native
def test_what_has_no_kernel_runs_block_by_block() -> None:
    for network in (generator(8), Generator(70, 32, DataSpec(3, 16)).eval()):  # few channels; weights in NCHW memory
        close(generate(network), expected(network))
        assert not has_plan(network)
    assert isinstance(network.blocks, GeneratorChain)
