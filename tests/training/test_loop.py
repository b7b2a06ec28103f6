from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import ganzoo
from ganzoo import data
from ganzoo.core import registry
from ganzoo.core.errors import GanzooError, TrainingError, UsageError
from ganzoo.training import checkpoint
from ganzoo.training.batches import Batches
from ganzoo.training.callbacks import Callback
from ganzoo.training.run import Run
from ganzoo.training.samples import sample_picture
from ganzoo.training.state import TrainingState
from ganzoo.training.step import GradientUpdate
from tests.sessions import session

SMALL = {"batch_size": 16}


class EventLog(Callback):
    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def on_metrics(self, row: dict[str, Any]) -> None:
        self.events.append(("metrics", row["step"]))

    def on_samples(self, path: Path, step: int) -> None:
        assert path.exists()
        self.events.append(("samples", step))

    def on_checkpoint(self, path: Path, step: int) -> None:
        assert checkpoint.verify(path) is None
        self.events.append(("checkpoint", step))


def test_samples_metrics_and_checkpoints_are_written_at_their_intervals(tmp_path: Path) -> None:
    log = EventLog()
    ganzoo.train(
        "cgan",
        dataset="digits",
        steps=7,
        sample_every=3,
        checkpoint_every=4,
        out=tmp_path / "run",
        callbacks=[log],
        **SMALL,
    )
    checkpoints = [event for event in log.events if event[0] == "checkpoint"]  # written beside the training
    assert checkpoints == [("checkpoint", 0), ("checkpoint", 4), ("checkpoint", 7)]
    assert [event for event in log.events if event[0] != "checkpoint"] == [
        ("samples", 0), ("samples", 3), ("metrics", 4), ("samples", 6), ("samples", 7), ("metrics", 7),
    ]  # fmt: skip
    assert log.events[-1] == ("checkpoint", 7)


def test_the_run_directory_is_complete(tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=3, seed=9, out=tmp_path / "run", loss="hinge", **SMALL)
    config = json.loads((run.path / "config.json").read_text())
    assert config["architecture"] == "cgan"
    assert config["settings"]["loss"] == "hinge"
    assert config["settings"]["batch_size"] == 16
    assert config["seed"] == 9
    assert config["dataset"]["name"] == "digits"
    assert len(config["dataset"]["sha256"]) == 64
    assert {"python", "torch", "ganzoo", "numpy"} <= config["versions"].keys()
    for key in ("command", "threads", "git", "started", "platform", "distribution", "schedule"):
        assert key in config
    (row,) = run.metrics()
    assert row["step"] == 3
    assert row["images"] == 48
    assert {"discriminator_loss", "generator_loss", "d_real", "d_fake", "images_per_second"} <= row.keys()
    grid = np.asarray(Image.open(run.samples / "step-00000003.png"))
    assert grid.shape == (10 * (8 + 2) + 2, 10 * (8 + 2) + 2)


def test_epochs_count_passes_over_the_data_for_any_number_of_critic_steps(tmp_path: Path) -> None:
    options = {"dataset": "digits", "batch_size": 100, "width": 8, "out": tmp_path / "run"}
    run = ganzoo.train("wgan", epochs=2, **options)
    last = run.metrics()[-1]
    assert last["step"] == 6  # 2 * 14 batches, 5 for each step
    assert last["images"] == 6 * 5 * 100


def test_minutes_end_a_run(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="digits", minutes=0.01, out=tmp_path / "run", **SMALL)
    assert 0.6 <= run.metrics()[-1]["seconds"] < 10


def test_every_step_of_the_discriminator_sees_the_next_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, take = [], Batches.take

    def spy(batches: Batches, batch: torch.Tensor, number: int) -> Any:
        numbers.append(number)
        return take(batches, batch, number)

    monkeypatch.setattr(Batches, "take", spy)
    options = {"discriminator_steps": 2, "batch_size": 4, "width": 8}
    ganzoo.train("wgan", dataset="digits", steps=3, out=tmp_path / "run", **options)
    assert numbers == list(range(6))


def test_grids_are_drawn_by_the_moving_average(tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=30, out=tmp_path / "run", **SMALL)
    expected = sample_picture(ganzoo.load(run.path), data.open("digits"))
    assert np.array_equal(np.asarray(Image.open(run.grid)), expected[0])


def test_a_clipped_critic_stays_within_its_bound(tmp_path: Path) -> None:
    run = ganzoo.train("wgan", dataset="digits", steps=1, batch_size=4, width=8, clip=0.015, out=tmp_path / "run")
    weights = list(ganzoo.load(run.path).discriminator.parameters())
    assert max(weight.abs().max().item() for weight in weights) == pytest.approx(0.015)


def test_backward_runs_through_every_term_of_the_discriminators_loss() -> None:
    settings = {"batch_size": 8, "width": 8, "penalty": "r1"}  # of two terms: the logits' and the penalty's
    prepared = session("dcgan", "digits", settings)
    gan = prepared.build()
    state = TrainingState(gan, 0)
    real, _ = prepared.make_batches()(0)
    fake = gan.generate(gan.latent(8, state.rng)).detach()
    loss, _ = gan.discriminator_loss(real, fake)
    parameters = list(gan.discriminator.parameters())
    expected = torch.autograd.grad(loss, parameters)
    terms = 0
    with state.select_players("discriminator"):
        update = GradientUpdate(state, ("discriminator",))
        for term, logs in gan.discriminator_losses(real, fake):
            update.backward(term, logs)
            terms += 1
    assert terms == 2
    torch.testing.assert_close([p.grad for p in parameters], list(expected), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(update.logs()["discriminator_loss"], loss.detach())


def test_the_moving_average_follows_the_generator_by_its_half_life_in_images(tmp_path: Path) -> None:
    options = {"batch_size": 4, "width": 8, "generator_lr": 1e-2, "ema_half_life": 10}  # 5 critic steps of 4 images
    run = ganzoo.train("wgan", dataset="digits", steps=12, checkpoint_every=1, out=tmp_path / "run", **options)
    before, after = (load_file(run.checkpoints / f"step-{step:08d}" / "ema.safetensors") for step in (11, 12))
    trained = load_file(run.checkpoints / "step-00000012" / "model.safetensors")
    for name, average in after.items():
        weight = trained[f"generator.{name}"]
        expected = torch.lerp(before[name], weight, 0.75) if weight.is_floating_point() else weight
        torch.testing.assert_close(average, expected, rtol=1e-5, atol=1e-7)


class Spoiled(registry.get_architecture("vanilla").card.__class__):  # type: ignore[misc]
    """Its losses are NaN from call number `at` on."""

    phase = "generator"
    at = 5

    def build(self, config: Any, spec: Any) -> Any:
        gan = super().build(config, spec)
        name = f"{self.phase}_loss"
        method, calls = getattr(gan, name), iter(range(10**6))

        def spoiled(*args: Any) -> Any:
            result = method(*args)
            factor = float("nan") if next(calls) + 1 >= self.at else 1.0
            return (result[0] * factor, result[1]) if isinstance(result, tuple) else result * factor

        setattr(gan, name, spoiled)
        return gan


@pytest.mark.parametrize("phase", ["generator", "discriminator"])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    phase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Spoiled()
    card.phase = phase
    entry = registry.get_architecture("vanilla")
    monkeypatch.setitem(entry.__dict__, "card", card)
    with pytest.raises(TrainingError, match=f"at step 5, in the {phase}'s phase.*last good checkpoint.*step-00000004"):
        ganzoo.train("vanilla", dataset="digits", steps=20, checkpoint_every=2, out=tmp_path / "run", **SMALL)
    path, problems = checkpoint.newest_valid(tmp_path / "run" / "checkpoints")
    assert path.name == "step-00000004"
    assert not problems


def test_the_generators_step_leaves_no_gradient_in_the_discriminator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    update = TrainingState.update

    def spy(state: TrainingState, *players: str) -> dict[str, torch.Tensor]:
        seen.append((players, any(p.grad is not None for p in state.gan.discriminator.parameters())))
        return update(state, *players)

    monkeypatch.setattr(TrainingState, "update", spy)
    ganzoo.train("cgan", dataset="digits", steps=2, out=tmp_path / "run", **SMALL)
    assert seen == [(("discriminator",), True), (("generator",), False)] * 2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains_and_keeps_fp32_weights(precision: str, tmp_path: Path) -> None:
    run = ganzoo.train(
        "dcgan", dataset="digits", steps=3, batch_size=8, width=8, precision=precision, out=tmp_path / "run"
    )
    assert all(p.dtype == torch.float32 for p in ganzoo.load(run.path).parameters())
    assert np.isfinite(run.metrics()[-1]["generator_loss"])


def test_training_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(123)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    ganzoo.train("vanilla", dataset="digits", steps=2, out=tmp_path / "run", **SMALL)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_output_directory_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty directory"):
        ganzoo.train("vanilla", dataset="digits", steps=1, out=tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_two_trainings_of_one_run_are_refused(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="digits", steps=1, out=tmp_path / "run", **SMALL)
    with Run.open(run.path).locked(), pytest.raises(UsageError, match="is being trained by another process"):
        ganzoo.train(resume=run.path, steps=2)
    with Run.open(run.path).locked(), pytest.raises(UsageError, match="is being trained by another process"):
        ganzoo.train("vanilla", dataset="digits", steps=2, out=run.path, **SMALL)


def test_runs_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [str(ganzoo.train("vanilla", dataset="digits", steps=1, **SMALL).path) for _ in range(2)]
    assert paths == ["runs/vanilla-digits-001", "runs/vanilla-digits-002"]


def test_a_folder_for_runs_that_cannot_be_made_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to("nowhere")
    with pytest.raises(GanzooError, match=r"Cannot create the run directory: .*File exists: 'runs'"):
        ganzoo.train("vanilla", dataset="ring", steps=1)
    Path("runs").unlink()
    Path("runs").write_text("")
    with pytest.raises(GanzooError, match="Cannot create the run directory"):
        ganzoo.train("vanilla", dataset="ring", steps=1)


def test_notes_of_the_data_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(4):
        Image.new("L", (8, 8), 50 * i).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with caplog.at_level(logging.WARNING, "ganzoo"):
        ganzoo.train("vanilla", dataset=f"folder:{tmp_path}", steps=1, image_size=8, batch_size=2, out=tmp_path / "run")
    assert "broken.png" in caplog.text


def test_a_conditional_architecture_refuses_data_without_labels(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UsageError, match="cgan is conditional and needs labels"):
        session("cgan", f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 1, "minutes": 1}, "one of steps, epochs and minutes"),
        ({"steps": 0}, "steps=0 is not valid"),
        ({"minutes": float("nan")}, "minutes=nan is not valid"),
        ({"seed": -1}, "seed=-1 is not valid"),
        ({"precision": "fp8"}, "expected one of fp32, tf32, bf16, fp16"),
        ({"device": "gpu"}, "'gpu' cannot be used here: ganzoo trains on cpu, cuda, mps. Choose auto or cpu."),
        ({"checkpoint_every": 0}, "checkpoint_every=0 is not valid"),
        ({"dataset": None}, "Training needs --dataset"),
        ({"architecture": "cgna"}, "Did you mean cgan"),
        ({"dataset": "digit"}, "Did you mean digits"),
        ({"settings": {"batchsize": 3}}, "Did you mean batch_size"),
        ({"settings": {"batch_size": 5000}}, "batch_size=5000 is larger than the data set"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    wrong: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments: dict[str, Any] = {"architecture": "cgan", "dataset": "digits", **wrong}
    settings = arguments.pop("settings", {})
    with pytest.raises(UsageError, match=message):
        ganzoo.train(**arguments, **settings)
    assert not (tmp_path / "runs").exists()


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"after step 1 some weights are not finite.*last good.*step-00000000"):
        ganzoo.train("vanilla", dataset="digits", steps=1, generator_lr=1e39, out=tmp_path / "run", **SMALL)


def test_frozen_parameters_of_a_discriminator_stay_frozen(tmp_path: Path) -> None:
    from ganzoo.training.loop import train_step

    prepared = session("vanilla", "digits", {"batch_size": 16})
    gan = prepared.build()
    frozen = next(gan.discriminator.parameters()).requires_grad_(False)
    before = frozen.clone()
    state = TrainingState(gan, 0)
    train_step(state, Batches(prepared.data, 16, 0, state.device))
    assert torch.equal(frozen, before)
    assert not frozen.requires_grad


def test_resume_uses_the_data_directory_of_the_run(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="digits", steps=1, data_dir=tmp_path, out=tmp_path / "run", **SMALL)
    assert Run.open(run.path).config["data_dir"] == str(tmp_path)
    assert ganzoo.train(resume=run.path, steps=2).config["data_dir"] == str(tmp_path)
