"""A batch taken in parts: the same training in less memory. That gradients are equal is a check of `ganzoo.testing`."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ganzoo
from ganzoo.core import registry
from ganzoo.gan import GAN
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.training.run import Run
from tests.conftest import Command

CASES: dict[str, dict[str, Any]] = {
    "vanilla": {"dropout": 0},
    "vanilla, r1": {"dropout": 0, "penalty": "r1"},
    "cgan": {"networks": "mlp", "loss": "wasserstein", "penalty": "gradient", "discriminator_steps": 2},
    "r3gan": {"width": 8},
}


def with_sgd(gan: GAN) -> Any:
    """Adam turns a gradient's rounding error into a step of full length; SGD lets trainings be compared closely."""
    return tuple(torch.optim.SGD(network.parameters(), 0.02) for network in (gan.generator, gan.discriminator))


@pytest.mark.parametrize("case", CASES)
def test_a_training_in_parts_is_the_training_in_one(
    case: str, ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GAN, "optimizers", with_sgd)
    words = ["train", case.partition(",")[0], "--dataset", "digits", "--batch-size", 12, "--steps", 4]
    words += [word for name, value in CASES[case].items() for word in ("--set", f"{name}={value}")]
    for parts in (1, 3):
        done = ganzoo_cli(*words, "--accumulate", parts, "--out", tmp_path / str(parts))
        assert done.code == 0, done.err
    for name in ("model", "ema"):
        one, three = (
            load_file(tmp_path / str(parts) / "checkpoints" / "step-00000004" / f"{name}.safetensors")
            for parts in (1, 3)
        )
        for key, tensor in one.items():
            torch.testing.assert_close(three[key], tensor, rtol=1e-4, atol=1e-5, msg=lambda t, k=key: f"{k}: {t}")
    (one, three) = (Run.open(tmp_path / str(parts)).metrics()[-1] for parts in (1, 3))
    clock = {"seconds", "images_per_second"}
    assert {name: three[name] for name in one.keys() - clock} == pytest.approx(
        {name: one[name] for name in one.keys() - clock}, rel=5e-3, abs=1e-5
    )


class Kept:
    """Bytes that autograd keeps for backward passes, now and at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: torch.Tensor) -> Any:
        box = Box(tensor)
        size = tensor.numel() * tensor.element_size()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(box, self.drop, size)
        return box

    def drop(self, size: int) -> None:
        self.now -= size


class Box:
    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor


def most_kept(parts: int) -> int:
    fixture = ArchitectureFixture(registry.get_architecture("vanilla").card, {"batch_size": 512, "accumulate": parts})
    state, kept = fixture.state(), Kept()
    weights = {p.data_ptr() for p in state.gan.parameters()}

    def pack(tensor: torch.Tensor) -> Any:  # weights are there anyway
        return tensor if tensor.data_ptr() in weights else kept.pack(tensor)

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor if isinstance(box, Box) else box):
        fixture.step(state)
    return kept.most


def test_parts_save_memory() -> None:
    whole, parts = most_kept(1), most_kept(8)
    assert parts < whole / 7


def test_batches_that_do_not_fall_into_equal_parts_are_refused(ganzoo_cli: Command, tmp_path: Path) -> None:
    words = ["train", "vanilla", "--dataset", "digits", "--steps", 1, "--batch-size", 16, "--out", tmp_path / "run"]
    refused = ganzoo_cli(*words, "--accumulate", 3)
    assert refused.code == 2
    assert "batch_size=16 is not a multiple of accumulate=3. Choose 15 or 18." in refused.err
    refused = ganzoo_cli(*words, "--accumulate", 4, "--nproc", 3)
    assert "batch_size=16 is not a multiple of the 3 ranks times accumulate=4. Choose 12 or 24." in refused.err
    assert not (tmp_path / "run").exists()


def test_what_batch_norm_sees_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = {"dataset": "digits", "batch_size": 16, "steps": 1, "accumulate": 4}
    ganzoo.train("vanilla", out=tmp_path / "plain", **options)
    assert "batch norm" not in caplog.text
    ganzoo.train("dcgan", width=4, out=tmp_path / "norm", **options)
    assert "statistics are computed over 4 images at a time, so results differ slightly" in caplog.text


def test_a_run_from_before_there_was_the_setting_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo.training.session import Session

    identity = Session.identity.fget  # type: ignore[attr-defined]

    def without_setting(session: Session) -> dict[str, Any]:
        content = identity(session)
        del content["settings"]["accumulate"]
        return content  # type: ignore[no-any-return]

    with monkeypatch.context() as past:
        past.setattr(Session, "identity", property(without_setting))
        run = ganzoo.train("vanilla", dataset="digits", batch_size=16, steps=1, out=tmp_path / "run")
    assert "accumulate" not in run.config["settings"]
    assert ganzoo.train(resume=run.path, steps=2).metrics()[-1]["step"] == 2
    with pytest.raises(ganzoo.core.errors.UsageError, match=r"settings\.accumulate: 1 -> 2"):
        ganzoo.train(resume=run.path, steps=3, accumulate=2)
