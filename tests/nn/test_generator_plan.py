"""The plan of a generator in inference: used where it holds, and never after something has changed."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from ganzoo.core.spec import DataSpec
from ganzoo.nn import generator_plan
from ganzoo.nn.dcgan import Generator
from ganzoo.nn.generator_plan import GeneratorChain
from ganzoo.ops import use_backend
from ganzoo.ops.inference import up_step
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
    return plan is not None and any(plan.steps.values())


class Seven(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.full_like(images, 7.0)


def move_one_value(network: Any) -> None:
    network.blocks[0][1].bias.data[3] += 2  # one value, which leaves no trace in a version


def give_spectral_norm(network: Any) -> None:
    torch.manual_seed(0)
    nn.utils.spectral_norm(network.blocks[1][0])  # a hook that sets a new tensor as the attribute weight in every call


def give_weight_norm(network: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(network.blocks[1][0])
    network.blocks[1][0].weight_g.mul_(2)


def make_weight_a_plain_tensor(network: Any) -> None:
    conv = network.blocks[1][0]
    weight = 2 * conv.weight.detach()
    del conv.weight
    conv.weight = weight


class TwiceAsMuch(nn.ConvTranspose2d):
    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return 2 * super().forward(input, output_size)


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
    "old spectral norm": give_spectral_norm,
    "old weight norm": give_weight_norm,
    "a tensor attribute": make_weight_a_plain_tensor,
    "a class": lambda g: setattr(g.blocks[1][0], "__class__", TwiceAsMuch),
    "the dictionary of blocks": lambda g: setattr(g.blocks, "_modules", {**g.blocks._modules, "3": Seven()}),
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
    if change != "batch statistics":  # which differ in every call
        assert torch.equal(generate(network), after)


@needs_native
def test_an_attribute_that_is_replaced_again_and_again() -> None:
    network: Any = generator()
    make_weight_a_plain_tensor(network)
    conv = network.blocks[1][0]
    for value in (2 * conv.weight, 3 * conv.weight):
        before = generate(network)
        conv.weight = value
        assert not torch.allclose(generate(network), before, atol=1e-3)
        close(generate(network), expected(network))
    for value in (np.arange(3), np.arange(3), "text"):  # of no importance to the result
        conv.note = value
        close(generate(network), expected(network))


@needs_native
def test_equal_settings_keep_the_plan() -> None:
    network: Any = generator()
    generate(network)
    plan = network.blocks._plan
    network.blocks[1][1].eps = float("1e-5")
    network.blocks[1][0].stride = (1 + 1, 2)
    network.eval()
    generate(network)
    assert network.blocks._plan is plan
    network.blocks[1][1].eps = 1e-4
    generate(network)
    assert network.blocks._plan is not plan


@needs_native
def test_a_plan_comes_back_after_a_hook() -> None:
    network: Any = generator()
    with network.blocks[1].register_forward_hook(lambda module, inputs, output: output + 1):
        hooked = generate(network)
        close(hooked, expected(network))
        assert not has_plan(network)
    assert not torch.allclose(generate(network), hooked, atol=1e-3)
    assert has_plan(network)


@needs_native
def test_shapes_share_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = generator()
    calls: list[int] = []
    monkeypatch.setattr(generator_plan, "up_step", lambda *arguments: calls.append(1) or up_step(*arguments))
    for _ in range(3):
        for n in (1, 2):
            close(generate(network, Z[:n]), expected(network, Z[:n]))
    assert len(calls) == 2
    for n in range(1, 12):
        z = Z[:1].expand(n, 70)
        close(generate(network, z), expected(network, z))
        assert len(network.blocks._plan.steps) <= generator_plan.MOST_SHAPES


@needs_native
@pytest.mark.parametrize("drop", [lambda g: g.train(), lambda g: g.to(torch.float64)], ids=["train", "to"])
def test_replaced_parameters_are_freed(drop: Callable[[Any], Any]) -> None:
    network: Any = generator()
    generate(network)
    storage = weakref.ref(network.blocks[1][0].weight.untyped_storage())
    network.load_state_dict(shaken(generator(), seed=7).state_dict(), assign=True)
    drop(network)
    gc.collect()
    assert network.blocks._plan is None
    assert storage() is None


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
def test_tangents_pass_through() -> None:
    network = generator()
    generate(network)

    def tangent() -> Tensor:
        with torch.no_grad(), forward_ad.dual_level():
            out = forward_ad.unpack_dual(network(forward_ad.make_dual(Z, torch.ones_like(Z)))).tangent
        assert out is not None
        return out

    ours = tangent()
    with use_backend("reference"):
        close(ours, tangent())
    assert ours.abs().max() > 0


@needs_native
def test_what_has_no_kernel_runs_block_by_block() -> None:
    for network in (generator(8), Generator(70, 32, DataSpec(3, 16)).eval()):  # few channels; weights in NCHW memory
        close(generate(network), expected(network))
        assert not has_plan(network)
    assert isinstance(network.blocks, GeneratorChain)
