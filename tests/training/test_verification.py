"""A step computed twice: one flipped bit is found, and a healthy training is not changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ganzoo
from ganzoo.core.errors import TrainingError
from ganzoo.training import checkpoint, loop
from ganzoo.training.state import TrainingState
from tests.runs import assert_same, last_state
from tests.training.test_faults import SMALL


@pytest.mark.parametrize("architecture", ["vanilla", "infogan", "wgan"])
def test_verified_steps_train_as_others_do(architecture: str, tmp_path: Path) -> None:
    options = {"dataset": "digits", "batch_size": 16, "steps": 4, "generator_lr": 1e-3}
    ganzoo.train(architecture, out=tmp_path / "plain", **options)
    ganzoo.train(architecture, out=tmp_path / "verified", verify_every=1, **options)
    assert_same(last_state(tmp_path / "verified"), last_state(tmp_path / "plain"))
    assert not (tmp_path / "verified" / "verification").exists()


def test_one_flipped_bit_stops_the_run_and_both_results_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, calls = loop.compute_step, 0

    def flips(state: TrainingState, get_batch: Any) -> Any:
        nonlocal calls
        calls += 1
        logs = compute(state, get_batch)
        if calls == 5:  # steps 1, 2, 2 again, 3, 4
            weight = next(state.gan.generator.parameters())
            weight.detach().view(torch.int32).view(-1)[7] ^= 1
        return logs

    monkeypatch.setattr(loop, "compute_step", flips)
    with pytest.raises(TrainingError, match=r"Step 4 was computed twice .* 1 tensors differ, .* gan\.generator\."):
        ganzoo.train("vanilla", out=tmp_path / "run", steps=9, checkpoint_every=2, verify_every=2, **SMALL)
    folder = tmp_path / "run" / "verification" / "step-00000004-rank-0"
    first, second = (load_file(folder / f"{name}.safetensors") for name in ("first", "second"))
    (name,) = [name for name in first if not torch.equal(first[name], second[name])]
    assert (first[name] != second[name]).sum() == 1
    assert checkpoint.newest_valid(tmp_path / "run" / "checkpoints")[0].name == "step-00000002"
    monkeypatch.setattr(loop, "compute_step", compute)
    ganzoo.train(resume=tmp_path / "run")
    ganzoo.train("vanilla", out=tmp_path / "whole", steps=9, **SMALL)
    assert_same(last_state(tmp_path / "run"), last_state(tmp_path / "whole"))
