"""Optimizers, gradient scalers and generators of a state.pt that does not fit what the training has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import ganzoo
from ganzoo.core.errors import CheckpointError
from ganzoo.training.optimizer_state import restore_optimizer, restore_scaler
from tests.untrusted import REMOVED, edited, newest, read_state, small_run, write_state

STATE = ("generator_optimizer", "state", 0)
GROUP = ("discriminator_optimizer", "param_groups", 0)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("pristine") / "run", steps=2)


@pytest.fixture
def run(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "run"))


@pytest.mark.parametrize(
    ("place", "new", "message"),
    [
        ((*STATE, "exp_avg"), torch.zeros(1), r"parameter 0: exp_avg is float32 \[1\], expected float32 \[8, 2\]"),
        ((*STATE, "exp_avg_sq"), torch.zeros(8, 2).double(), r"exp_avg_sq is float64 \[8, 2\], expected float32"),
        ((*STATE, "exp_avg"), torch.zeros(8, 2).to_sparse(), "exp_avg is a Tensor, expected float32"),
        ((*STATE, "exp_avg"), torch.zeros(8, 2, device="meta"), "exp_avg is float32 .* on meta, expected float32"),
        ((*STATE, "exp_avg"), 0.0, r"exp_avg is 0.0, expected float32"),
        ((*STATE, "exp_avg"), REMOVED, "parameter 0: it lacks exp_avg"),
        ((*STATE, "step"), torch.zeros(2), r"step is float32 \[2\], expected float32 \[\]"),
        ((*STATE, "max_exp_avg_sq"), torch.zeros(8, 2), "max_exp_avg_sq is unknown"),
        ((*STATE[:2], 99), {}, "state for a parameter 99"),
        ((*GROUP, "lr"), float("nan"), "discriminator_optimizer: lr is nan, expected a finite number"),
        ((*GROUP, "betas"), (0.5, "x"), "betas is a str, expected a finite number"),
        ((*GROUP, "betas"), (0.5,), "betas is a tuple, expected 2 values"),
        ((*GROUP, "eps"), 10**400, "cannot be read safely: it holds an integer of more than 64 bits"),
        ((*GROUP, "initial_lr"), "x", "initial_lr is unknown"),
        ((*GROUP, "params"), [0], "param_groups are not those"),
        (GROUP[:2], [], "param_groups are not a list of 1"),
        (("generator_scaler",), {"scale": 1.0}, "generator_scaler: it has scale, expected nothing"),
        (("rng",), torch.zeros(5056, dtype=torch.uint8), "rng: it is not the state of a generator"),
        (("rng",), torch.zeros(16, dtype=torch.uint8), r"rng: is uint8 \[16\], expected uint8 \[5056\]"),
        (("torch_rng", 0), torch.full((5056,), 255, dtype=torch.uint8), "torch_rng: it is not the state"),
        (("step",), 7, "step: it is 7"),
        (("rng",), REMOVED, "rng: it is missing"),
    ],
)
def test_what_does_not_fit_is_named(run: Path, place: tuple[Any, ...], new: Any, message: str) -> None:
    checkpoint = newest(run)
    write_state(checkpoint, edited(read_state(checkpoint), place, new))
    with pytest.raises(CheckpointError, match=rf"state\.pt .*{message}"):
        ganzoo.train(resume=run, steps=3)


def test_a_generator_whose_position_is_beyond_its_words_is_refused(run: Path) -> None:
    checkpoint = newest(run)
    state = read_state(checkpoint)
    words = state["rng"].view(torch.int32)
    words[2], words[4] = 600, 600  # 600 words left, from word 600 of 624 on
    torch.Generator().set_state(state["rng"])  # which torch accepts
    write_state(checkpoint, state)
    with pytest.raises(CheckpointError, match="rng: it is not the state of a generator"):
        ganzoo.train(resume=run, steps=3)


def test_tensors_that_share_memory_train_as_if_they_did_not(run: Path, tmp_path: Path) -> None:
    runs = [run, Path(shutil.copytree(run, tmp_path / "other"))]
    for path, average in zip(runs, (torch.ones(1).expand(8, 2), torch.ones(8, 2))):
        state = edited(read_state(newest(path)), (*STATE, "exp_avg"), average)
        write_state(newest(path), edited(state, (*STATE, "exp_avg_sq"), average))
        ganzoo.train(resume=path, steps=4)
    one, other = ((newest(path) / "model.safetensors").read_bytes() for path in runs)
    assert one == other


def test_flags_do_not_come_from_the_file(run: Path) -> None:
    other = Path(shutil.copytree(run, run.with_name("other")))
    state = read_state(newest(run))
    flags = {"fused": None, "foreach": True, "capturable": True, "differentiable": True, "amsgrad": True}
    for name in ("generator_optimizer", "discriminator_optimizer"):
        state[name]["param_groups"][0] |= {**flags, "maximize": True}
    write_state(newest(run), state)
    for path in (run, other):
        ganzoo.train(resume=path, steps=4)
    one, unchanged = ((newest(path) / "model.safetensors").read_bytes() for path in (run, other))
    assert one == unchanged


class Averaged(torch.optim.Optimizer):
    """A plugin's optimizer: plain steps, and from the third on a mean of the weights."""

    def __init__(self, parameters: Any, lr: float):
        super().__init__(parameters, {"lr": lr, "history": (1, 2)})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["steps"] = state.get("steps", 0) + 1
                parameter -= group["lr"] * parameter.grad
                if state["steps"] > 2:
                    state.setdefault("mean", torch.zeros_like(parameter)).lerp_(parameter, 0.1)


def make(kind: str, parameter: torch.Tensor) -> torch.optim.Optimizer:
    makers = {
        "sgd": lambda: torch.optim.SGD([parameter], 0.1, momentum=0.9),
        "plain sgd": lambda: torch.optim.SGD([parameter], 0.1),
        "rmsprop": lambda: torch.optim.RMSprop([parameter], 0.1, centered=True, momentum=0.5),
        "adamw": lambda: torch.optim.AdamW([parameter], torch.tensor(0.1), amsgrad=True, weight_decay=0.1),
        "adagrad": lambda: torch.optim.Adagrad([parameter], 0.1),
        "averaged": lambda: Averaged([parameter], 0.1),
    }
    return makers[kind]()


def trained(kind: str, steps: int, parameter: torch.Tensor) -> torch.optim.Optimizer:
    optimizer = make(kind, parameter)
    for _ in range(steps):
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("kind", ["sgd", "plain sgd", "rmsprop", "adamw", "adagrad", "averaged"])
def test_every_optimizer_is_restored_exactly_and_its_tensors_are_checked(kind: str) -> None:
    parameter = torch.nn.Parameter(torch.ones(3, 2))
    saved = trained(kind, 4, parameter).state_dict()
    restored = make(kind, parameter)
    restore_optimizer(restored, trained(kind, 1, torch.nn.Parameter(torch.ones(3, 2))), saved)
    torch.testing.assert_close(restored.state_dict(), saved, rtol=0, atol=0)
    for name, value in saved["state"].get(0, {}).items():
        for wrong in (torch.zeros(7), torch.zeros(1, dtype=torch.int32), "x", [1]):
            if not isinstance(value, (torch.Tensor, int)):
                continue
            broken = edited(saved, ("state", 0, name), wrong)
            like = trained(kind, 1, torch.nn.Parameter(torch.ones(3, 2)))
            with pytest.raises(ValueError, match=f"parameter 0: {name} is"):
                restore_optimizer(make(kind, parameter), like, broken)


@pytest.mark.parametrize(("name", "value"), [("scale", float("inf")), ("scale", 0.0), ("_growth_tracker", 1 << 31)])
def test_a_scaler_takes_only_numbers_that_it_can_have(name: str, value: float) -> None:
    scaler = torch.amp.GradScaler("cpu")
    saved = {**scaler.state_dict(), "scale": 3.0, "_growth_tracker": 5, "growth_interval": 7}
    restore_scaler(scaler, saved)
    assert scaler.state_dict() | {"growth_interval": 7} == saved
    assert scaler.state_dict()["growth_interval"] == 2000
    with pytest.raises(ValueError, match=f"{name} is"):
        restore_scaler(scaler, {**saved, name: value})
