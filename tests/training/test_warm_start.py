"""`--init-from` takes layers where they fit, `--freeze` keeps some as they are, and both resume exactly."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import ganzoo
from ganzoo import api
from ganzoo.core.errors import CheckpointError, UsageError
from ganzoo.training import checkpoint, loop
from ganzoo.training import cuda_graph as graph
from ganzoo.training.callbacks import Callback
from ganzoo.training.repeat import command
from ganzoo.training.run import Run
from ganzoo.training.session import Session
from ganzoo.training.warm_start import copy_layers
from tests.conftest import Command
from tests.runs import assert_same, last_state
from tests.training.test_cuda_graph import eager, record_eagerly
from tests.training.test_cuda_graph import run as run_steps
from tests.untrusted import newest, seal

SMALL: dict[str, Any] = {
    "dataset": "digits", "image_size": 16, "width": 4, "batch_size": 16, "sample_every": 100, "checkpoint_every": 2,
    "callbacks": [],
}  # fmt: skip
FROZEN = ("discriminator.blocks.0.0.", "discriminator.blocks.1.0.")


class Notes(Callback):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and a second checkpoint that is no best one."""
    out = tmp_path_factory.mktemp("warm") / "origin"
    return ganzoo.train("dcgan", steps=3, seed=5, out=out, **SMALL).path


def first_state(run: Path) -> dict[str, dict[str, Tensor]]:
    path = checkpoint.path_of(run / "checkpoints", 0)
    return {name: load_file(path / f"{name}.safetensors") for name in ("model", "ema")}


def frozen_part(state: dict[str, Any]) -> dict[str, Tensor]:
    part = {name: tensor for name, tensor in state["model"].items() if name.startswith(FROZEN)}
    assert len(part) == 3
    return part


def test_every_layer_of_the_same_networks_is_taken_averages_too(origin: Path, tmp_path: Path) -> None:
    notes = Notes()
    run = ganzoo.train("dcgan", steps=1, out=tmp_path / "run", init_from=origin, **{**SMALL, "callbacks": [notes]})
    before = last_state(origin)
    assert_same(first_state(run.path), {name: before[name] for name in ("model", "ema")})
    assert not torch.equal(before["model"]["generator.blocks.0.0.weight"], before["ema"]["blocks.0.0.weight"])
    record = run.config["warm_start"]
    assert (record["name"], record["step"], record["left"], record["frozen"]) == (str(origin), 3, [], [])
    assert any(f"Weights are taken from {origin}, step 3: " in text for text in notes.texts)


def test_layers_of_another_shape_keep_their_own_start_and_are_named(origin: Path, tmp_path: Path) -> None:
    options = {**SMALL, "latent_dim": 7, "steps": 1}
    run = ganzoo.train("dcgan", out=tmp_path / "run", init_from=origin, **options)
    fresh = ganzoo.train("dcgan", out=tmp_path / "fresh", **options)
    record = run.config["warm_start"]
    assert record["left"] == ["generator.blocks.0.0"]
    warm, cold, before = first_state(run.path), first_state(fresh.path), last_state(origin)
    for name, tensor in warm["model"].items():
        left = name.startswith("generator.blocks.0.0.")
        assert torch.equal(tensor, (cold if left else before)["model"][name]), name
    for name, tensor in warm["ema"].items():
        assert torch.equal(tensor, (cold if name.startswith("blocks.0.0.") else before)["ema"][name]), name


def test_a_layer_needs_the_same_names_and_shapes() -> None:
    mine = {"a.weight": torch.zeros(2), "a.bias": torch.zeros(1), "b.parametrizations.weight.original": torch.zeros(3)}
    mine |= {"b.bias": torch.zeros(1), "c.weight": torch.zeros(2)}
    theirs = {name: torch.ones_like(tensor) for name, tensor in mine.items()}
    assert copy_layers(mine, {**theirs, "a.extra": torch.ones(1), "c.weight": torch.ones(5)}) == (["b"], ["a", "c"])
    assert float(mine["a.weight"].sum()) == 0
    assert float(mine["b.bias"]) == 1
    del theirs["b.bias"]
    assert copy_layers(mine, theirs) == (["a", "c"], ["b"])


def test_frozen_layers_never_change_and_the_resume_is_exact_without_the_origin(origin: Path, tmp_path: Path) -> None:
    gone = tmp_path / "origin"
    shutil.copytree(origin, gone)
    options = {**SMALL, "init_from": gone, "freeze": "discriminator:2"}
    whole = ganzoo.train("dcgan", steps=4, out=tmp_path / "whole", **options)
    parts = ganzoo.train("dcgan", steps=2, out=tmp_path / "parts", **options)
    shutil.rmtree(gone)
    ganzoo.train(resume=parts.path, steps=4, callbacks=[])
    assert_same(last_state(parts.path), last_state(whole.path))
    assert_same(frozen_part(last_state(whole.path)), frozen_part(last_state(origin)))
    assert whole.config["warm_start"]["frozen"] == [name.rstrip(".") for name in FROZEN]
    after, before = last_state(whole.path)["model"], last_state(origin)["model"]
    still = [name for name in after if name.endswith("weight") and torch.equal(after[name], before[name])]
    assert set(still) == {f"{name}weight" for name in FROZEN}
    ganzoo.train("dcgan", out=whole.path, autoresume=True, **{**options, "steps": 4})  # the same command again
    with pytest.raises(UsageError, match=r"freeze: discriminator:2 -> discriminator:1"):
        ganzoo.train(resume=whole.path, steps=5, freeze="discriminator:1")


def test_a_run_killed_before_its_first_checkpoint_begins_again_from_the_same_weights(
    origin: Path, tmp_path: Path
) -> None:
    run = ganzoo.train("dcgan", steps=1, out=tmp_path / "run", init_from=origin, **SMALL)
    expected = last_state(run.path)
    shutil.rmtree(run.checkpoints)
    run.checkpoints.mkdir()
    ganzoo.train(resume=run.path, callbacks=[])
    assert_same(last_state(run.path), expected)
    shutil.rmtree(run.checkpoints)
    run.checkpoints.mkdir()
    run.config["warm_start"]["sha256"] = "0" * 64
    run.write_config()
    with pytest.raises(UsageError, match="are not those it began with"):
        ganzoo.train(resume=run.path, callbacks=[])


def test_a_model_by_name_in_half_precision(tmp_path: Path) -> None:
    options = {"dataset": "ring", "steps": 1, "init_from": "vanilla-ring", "callbacks": []}
    run = ganzoo.train("vanilla", out=tmp_path / "run", **options)
    assert run.config["init_from"] == run.config["warm_start"]["name"] == "vanilla-ring"
    model = Run.open("vanilla-ring")
    weights = load_file(checkpoint.newest_valid(model.checkpoints)[0] / "model.safetensors")
    for name, tensor in first_state(run.path)["model"].items():
        assert torch.equal(tensor, weights[name].to(tensor.dtype)), name
    assert "--init-from vanilla-ring" in command(run.config, 1)


def test_the_best_checkpoint_is_preferred(origin: Path, tmp_path: Path) -> None:
    copied = tmp_path / "origin"
    shutil.copytree(origin, copied)
    (copied / "best").mkdir()
    shutil.copytree(checkpoint.path_of(origin / "checkpoints", 2), checkpoint.path_of(copied / "best", 2))
    run = ganzoo.train("dcgan", steps=1, out=tmp_path / "run", init_from=copied, **SMALL)
    assert run.config["warm_start"]["step"] == 2


def test_clipping_leaves_frozen_layers_alone(tmp_path: Path) -> None:
    small = {"dataset": "ring", "steps": 1, "callbacks": [], "batch_size": 16}
    first = ganzoo.train("wgan", out=tmp_path / "first", **small)
    options = {**small, "clip": 1e-4, "freeze": "discriminator:1", "init_from": first.path}
    run = ganzoo.train("wgan", out=tmp_path / "run", **options)
    layer = run.config["warm_start"]["frozen"][0]
    before, after = (last_state(path)["model"][f"{layer}.weight"] for path in (first.path, run.path))
    assert torch.equal(before, after)
    assert before.abs().max() > 1e-4


def test_a_replayed_step_freezes_as_an_eager_one(origin: Path) -> None:
    def start() -> tuple[Any, Any]:
        options = {name: value for name, value in SMALL.items() if name != "callbacks"}
        prepared: Session = api.prepare("dcgan", init_from=origin, freeze="discriminator:2", **options)
        return prepared._new_state(), prepared.make_batches()

    plain, graphed = start(), start()
    expected = run_steps(eager(*plain), plain[0], 3)
    assert_same(run_steps(graph.GraphedStep(*graphed, loop.compute_step, record_eagerly), graphed[0], 3), expected)
    assert_same(graphed[0].gan.state_dict(), plain[0].gan.state_dict())
    assert_same(frozen_part({"model": dict(plain[0].gan.state_dict())}), frozen_part(last_state(origin)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_from": "nowhere"}, "nowhere is not a run directory"),
        ({"init_from": "vanilla-ring"}, r"Nothing of vanilla-ring fits: .*\(vanilla for 2\).*\(dcgan for 1x16x16\)"),
        ({"freeze": "discriminator:1"}, "freeze=discriminator:1 needs init_from"),
        ({"init_from": "ORIGIN", "freeze": "discriminator:99"}, "the discriminator has 4 layers .* Freeze 1 to 3"),
        ({"init_from": "ORIGIN", "freeze": "discriminator:0"}, "Freeze 1 to 3"),
        ({"init_from": "ORIGIN", "freeze": "critic:1"}, "no network 'critic'"),
        ({"init_from": "ORIGIN", "freeze": "discriminator"}, "expected NETWORK:N"),
    ],
)
def test_what_cannot_be_is_refused_before_a_run_exists(
    options: dict[str, Any], message: str, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {name: str(origin) if value == "ORIGIN" else value for name, value in options.items()}
    with pytest.raises(UsageError, match=message):
        ganzoo.train("dcgan", steps=1, **{**SMALL, **options})
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_refused(origin: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "origin"
    shutil.copytree(origin, damaged)
    file = newest(damaged) / "model.safetensors"
    tensors = load_file(file)
    tensors["generator.blocks.0.0.weight"][0, 0, 0, 0] = float("nan")
    save_file(tensors, file)
    seal(file.parent)
    with pytest.raises(CheckpointError, match="not finite"):
        ganzoo.train("dcgan", steps=1, out=tmp_path / "run", init_from=damaged, **SMALL)
    assert not (tmp_path / "run").exists()


def test_the_command_line_says_what_was_taken(origin: Path, tmp_path: Path, ganzoo_cli: Command) -> None:
    words = [
        "dcgan",
        "--dataset",
        "digits",
        "--image-size",
        16,
        "--set",
        "width=4",
        "--steps",
        1,
        "--init-from",
        origin,
    ]
    result = ganzoo_cli("train", *words, "--freeze", "discriminator:1", "--out", tmp_path / "run")
    assert result.code == 0
    assert "layers of the generator" in result.out
    assert "Frozen: discriminator.blocks.0.0." in result.out
