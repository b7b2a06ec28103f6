"""NaN in weights, images or gradients: the optimizer skips the step, and the error names step and phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import ganzoo
from ganzoo.core.errors import TrainingError
from ganzoo.training import checkpoint, loop
from ganzoo.training.batches import Batches
from ganzoo.training.state import TrainingState
from tests.sessions import session

AT = 6
"""The step, counted from 1, into which NaN is injected."""


def into_weights(state: TrainingState, network: str) -> None:
    with torch.no_grad():
        next(getattr(state.gan, network).parameters())[0] = torch.nan


def into_gradients(state: TrainingState, network: str) -> None:
    """NaN in one gradient of one weight, while the loss stays finite."""
    weight = list(getattr(state.gan, network).parameters())[-1]

    def spoil(p: Tensor) -> None:
        assert p.grad is not None
        p.grad[0].fill_(torch.nan)

    weight.register_post_accumulate_grad_hook(spoil)


def weights(state: TrainingState) -> list[Tensor]:
    return [p.detach().clone() for p in state.gan.parameters()]


@pytest.mark.parametrize("architecture", ["vanilla", "wgan"])  # Adam, which is fused, and RMSprop, which is not
@pytest.mark.parametrize("network", ["generator", "discriminator"])
@pytest.mark.parametrize("inject", [into_weights, into_gradients])
def test_nan_is_stopped_before_the_optimizer(
    architecture: str, network: str, inject: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, history = loop.compute_step, []

    def spoil(state: TrainingState, get_batch: Any) -> dict[str, Tensor]:
        if state.step + 1 == AT:
            inject(state, network)
            history.append(weights(state))
        logs = step(state, get_batch)
        if state.step + 1 >= AT:
            history.append(weights(state))
        return logs

    monkeypatch.setattr(loop, "compute_step", spoil)
    small = {"batch_size": 16, **({"width": 8} if architecture == "wgan" else {})}
    # NaN in the generator's weights is in its images, which the discriminator gets first
    phase = "generator" if network == "generator" and inject is into_gradients else "discriminator"
    with pytest.raises(TrainingError, match=rf"at step {AT}, in the {phase}'s phase.*step-00000004"):
        ganzoo.train(architecture, dataset="digits", steps=8, checkpoint_every=4, out=tmp_path / "run", **small)
    before, *after = history
    assert len(after) == 3  # steps 6, 7 and 8, read together at the end
    finite = [i for i, p in enumerate(before) if p.isfinite().all()]
    # the generator's phase comes after the discriminator's step
    unchanged = [i for i in finite if phase == "discriminator"]
    for state in after:
        assert all(torch.equal(state[i], before[i]) for i in unchanged)
        assert all(state[i].isfinite().all() for i in finite)
    path, problems = checkpoint.newest_valid(tmp_path / "run" / "checkpoints")
    assert path.name == "step-00000004"
    assert not problems


@pytest.mark.parametrize("where", ["images", "noise"])
def test_nan_in_the_inputs_is_stopped(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(10**6))

    def poison(tensor: Tensor) -> Tensor:
        return tensor.index_fill(0, torch.tensor([0]), torch.nan) if next(calls) + 1 == AT else tensor

    if where == "images":
        read = Batches.__call__
        monkeypatch.setattr(Batches, "__call__", lambda self, n: (poison(read(self, n)[0]), read(self, n)[1]))
    else:
        generate = ganzoo.gan.GAN.generate
        monkeypatch.setattr(ganzoo.gan.GAN, "generate", lambda self, z, labels=None: generate(self, poison(z), labels))
        next(calls)  # the sample grid of step 0 comes first
    with pytest.raises(TrainingError, match=r"in the discriminator's phase, discriminator_loss became nan"):
        ganzoo.train("vanilla", dataset="digits", steps=8, batch_size=16, sample_every=100, out=tmp_path / "run")


def test_a_skipped_step_does_not_change_the_optimizer() -> None:
    prepared = session("vanilla", "digits", {"batch_size": 16})
    state = TrainingState(prepared.build(), 0)
    batches = Batches(prepared.data, 16, 0, state.device)
    loop.train_step(state, batches)
    state.all_finite.fill_(False)
    before = [slot["step"].clone() for slot in state.players["generator"].optimizer.state.values()]
    logs = loop.train_step(state, batches)
    assert before == [slot["step"] for slot in state.players["generator"].optimizer.state.values()]
    assert logs["generator_gradient"].isnan()
    assert logs["generator_loss"].isfinite()


def test_logged_gradient_norms_are_those_of_the_gradients() -> None:
    prepared = session("vanilla", "digits", {"batch_size": 16})
    state = TrainingState(prepared.build(), 0)
    gradients: dict[Tensor, Tensor] = {}

    def record(p: Tensor) -> None:
        assert p.grad is not None
        gradients[p] = p.grad.flatten().clone()

    for p in state.gan.parameters():
        p.register_post_accumulate_grad_hook(record)
    logs = loop.train_step(state, Batches(prepared.data, 16, 0, state.device))
    for name in ("generator", "discriminator"):
        flat = torch.cat([gradients[p] for p in getattr(state.gan, name).parameters()])
        torch.testing.assert_close(logs[f"{name}_gradient"], flat.norm())
