"""The optimizers are torch's in every respect but what they import; tests/test_imports.py checks that."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from ganzoo.gan import optimizers
from tests.runs import assert_same

CASES: list[tuple[str, dict[str, Any]]] = [
    ("Adam", {"lr": 0.01, "betas": (0.5, 0.99), "fused": True}),
    ("Adam", {"lr": 0.01, "foreach": True, "amsgrad": True}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9}),
]
every_case = pytest.mark.parametrize(("name", "options"), CASES)


def make(of: Any, name: str, options: dict[str, Any]) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    return network, getattr(of, name)(network.parameters(), **options)


def train(network: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for step in range(first, last):
        inputs = torch.rand(4, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network(inputs).square().mean().backward()
        optimizer.step()


@every_case
def test_updates_and_states_are_those_of_torch(name: str, options: dict[str, Any]) -> None:
    ours, theirs = make(optimizers, name, options), make(torch.optim, name, options)
    for pair in (ours, theirs):
        train(*pair, 0, 3)
    assert_same(ours[1].state_dict(), theirs[1].state_dict())

    resumed = make(optimizers, name, options)
    resumed[0].load_state_dict(theirs[0].state_dict())
    resumed[1].load_state_dict(copy.deepcopy(theirs[1].state_dict()))  # or both would count in the same tensors
    for pair in (ours, theirs, resumed):
        train(*pair, 3, 6)
    for pair in (ours, resumed):
        assert_same(pair[0].state_dict(), theirs[0].state_dict())
        assert_same(pair[1].state_dict(), theirs[1].state_dict())


@pytest.mark.parametrize("amsgrad", [False, True])
def test_fused_adam_copies_no_gradient_in_channels_last(amsgrad: bool) -> None:
    stepped = []
    for of in (optimizers, torch.optim):
        torch.manual_seed(0)
        network: nn.Module = nn.Sequential(nn.Conv2d(5, 7, 3), nn.Conv2d(7, 1, 3))
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = of.Adam(network.parameters(), 0.01, fused=True, amsgrad=amsgrad)
        for _ in range(2):
            network(torch.rand(2, 5, 8, 8)).square().mean().backward()
            with torch.profiler.profile() as profile:
                optimizer.step()
        copied = "aten::clone" in {event.name for event in profile.events() or ()}
        assert copied is (of is torch.optim), "torch has changed: is ganzoo.gan.optimizers._init_group still needed?"
        stepped.append((network.state_dict(), optimizer.state_dict()))
    assert_same(*stepped)


@every_case
def test_they_are_torchs_classes_and_can_be_pickled(name: str, options: dict[str, Any]) -> None:
    network, optimizer = make(optimizers, name, options)
    train(network, optimizer, 0, 1)
    assert isinstance(optimizer, getattr(torch.optim, name))
    assert pickle.dumps(optimizer)  # which fails for a class that is not found by its name


@every_case
def test_hooks_closures_and_schedules_work(name: str, options: dict[str, Any]) -> None:
    network, optimizer = make(optimizers, name, options)
    called = []
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    every = register_optimizer_step_post_hook(lambda *_: called.append("after"))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)

    def closure() -> Tensor:
        loss: Tensor = network(torch.ones(1, 3)).square().mean()
        loss.backward()
        assert torch.is_grad_enabled()
        return loss

    loss = optimizer.step(closure)  # type: ignore[arg-type]
    every.remove()
    schedule.step()
    assert called == ["before", "after"]
    assert isinstance(loss, Tensor)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.001)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    assert len(optimizer.param_groups) == 2
