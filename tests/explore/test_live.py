"""A training that the page owns obeys it, and is the real training."""

from __future__ import annotations

import base64
import shlex
import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganzoo.core.errors import UsageError
from ganzoo.explore import interactive
from ganzoo.explore.interactive import InteractiveTraining
from ganzoo.explore.live import LiveTraining
from ganzoo.training import loop
from ganzoo.training.samples import sample_picture
from ganzoo.training.state import TrainingState
from tests.explore.conftest import client_of
from tests.sessions import new_state, session

SMALL = {"batch_size": 16}


def wait(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def done(live: LiveTraining, step: int) -> None:
    wait(lambda: live.status["step"] == step and not live.pending)


def weights(state: TrainingState) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in state.gan.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The networks whose weights differ."""
    return {name.partition(".")[0] for name in before if not before[name].equal(after[name])}


@pytest.mark.parametrize("architecture", ["vanilla", "wgan", "r3gan"])
def test_its_steps_are_those_of_training_even_if_it_is_watched(architecture: str) -> None:
    """Bit for bit, with pictures of everything drawn after every step."""
    expected, made = (
        new_state(session(architecture, "ring", SMALL)),
        InteractiveTraining(session(architecture, "ring", SMALL)),
    )
    assert made.plane is not None
    batches = session(architecture, "ring", SMALL).make_batches()
    for step in range(3):
        loop.train_step(expected, batches)
        expected.step += 1
        made.step()
        made.plane.snapshot(made.state.gan)
        if step == 0:
            made.plane.optimal(made.state.gan)
    assert changed(weights(expected), weights(made.state)) == set()
    ours, theirs = (state.ema.network.state_dict() for state in (made.state, expected))
    assert all(ours[name].equal(theirs[name]) for name in ours)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("architecture", ["vanilla", "wgan", "r3gan"])
def test_a_step_of_one_player_changes_only_its_network(architecture: str, player: str) -> None:
    made = InteractiveTraining(session(architecture, "ring", SMALL))
    before = weights(made.state)
    made.step(player)
    assert changed(before, weights(made.state)) == {player}
    assert made.state.step == 1


def test_steps_play_and_pause(live: LiveTraining) -> None:
    live.command({"do": "step", "count": 3})
    done(live, 3)
    live.command({"do": "play"})
    wait(lambda: live.status["step"] > 30 and live.status["playing"])
    live.command({"do": "pause"})
    wait(lambda: not live.status["playing"])
    step = live.status["step"]
    time.sleep(0.1)
    assert live.status["step"] == step
    assert [row["step"] for row in live.training.rows[:2]] == [3, 25]


def test_slow_motion_is_slow(live: LiveTraining) -> None:
    live.command({"do": "slow", "pause": 100})
    live.command({"do": "play"})
    wait(lambda: live.status["step"] >= 1)
    began, first = time.monotonic(), live.status["step"]
    time.sleep(0.5)
    elapsed = time.monotonic() - began
    assert live.status["step"] - first <= elapsed / 0.1 + 1


def test_pictures_are_drawn_only_for_somebody(live: LiveTraining) -> None:
    live.command({"do": "step", "count": 2})
    done(live, 2)
    assert live.picture == {}
    with live.watched():
        wait(lambda: live.picture.get("step") == 2)
        first = live.picture["samples"]
        live.command({"do": "step", "count": 5})
        wait(lambda: live.picture.get("step") == 7)
        assert live.picture["samples"] != first
        live.command({"do": "optimal", "on": True})
        wait(lambda: "jsd" in live.picture)
        assert 0 < live.picture["jsd"] <= 0.6932


def test_settings_change_while_it_runs(live: LiveTraining) -> None:
    live.command({"do": "set", "generator_lr": 0.5, "discriminator_steps": 3, "loss": "hinge"})
    live.command({"do": "step", "count": 2})
    done(live, 2)
    state = live.training.state
    assert state.players["generator"].optimizer.param_groups[0]["lr"] == pytest.approx(0.5, rel=0.01)  # it decays
    assert (state.gan.config.discriminator_steps, state.gan.config.loss) == (3, "hinge")
    assert "--set loss=hinge" in live.status["command"]
    assert live.status["edited"]


def test_changes_during_a_slow_step_are_added_up(live: LiveTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    started, may_end, step = threading.Event(), threading.Event(), live.training.step

    def slow(players: str) -> None:
        started.set()
        may_end.wait(20)
        step(players)

    monkeypatch.setattr(live.training, "step", slow)
    live.command({"do": "step"})
    assert started.wait(20)
    live.command({"do": "set", "generator_lr": 0.5})
    live.command({"do": "set", "loss": "wasserstein"})  # brings a penalty
    with pytest.raises(UsageError, match="no minimum"):
        live.command({"do": "set", "penalty": "none"})
    may_end.set()
    wait(lambda: live.status["settings"]["loss"] == "wasserstein")
    assert live.status["settings"]["generator_lr"] == 0.5
    live.command({"do": "restart"})
    live.command({"do": "set", "discriminator_lr": 0.5})
    wait(lambda: live.status["settings"]["discriminator_lr"] == 0.5)
    assert live.status["settings"]["loss"] != "wasserstein"


def test_a_loss_that_contradicts_the_penalty_changes_it_and_says_so() -> None:
    live = LiveTraining(session("wgan", "ring", SMALL))
    live.command({"do": "set", "loss": "hinge"})
    live.command({"do": "step"})
    wait(lambda: live.status["settings"]["loss"] == "hinge")
    assert live.status["settings"]["penalty"] == "none"
    live.close()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ({"do": "fly"}, "does not know this command"),
        ({}, "does not know this command"),
        ({"do": "step", "count": 0}, "a whole number from 1 to 10,000"),
        ({"do": "step", "count": True}, "a whole number from 1 to 10,000"),
        ({"do": "step", "players": "judge"}, "one of both, discriminator, generator"),
        ({"do": "slow", "pause": -1}, "0 to 2000 ms"),
        ({"do": "slow", "pause": "x"}, "0 to 2000 ms"),
        ({"do": "set", "generator_lr": -1}, "generator_lr"),
        ({"do": "set", "loss": "nothing"}, "loss"),
        ({"do": "draw", "points": []}, "Draw a line"),
        ({"do": "draw", "points": [[0, 0]]}, "Draw a line"),
        ({"do": "draw", "points": [[0, 99]]}, "Draw a line"),
        ({"do": "draw", "points": [[0, float("nan")]]}, "Draw a line"),
        ({"do": "draw", "points": [[0.1, 0.1]] * 6000}, "at most 5,000"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_a_message(
    command: dict[str, Any], message: str, live: LiveTraining
) -> None:
    with pytest.raises(UsageError, match=message):
        live.command(command)
    live.command({"do": "step"})
    done(live, 1)


def test_a_drawn_distribution_is_learnt() -> None:
    made = InteractiveTraining(session("vanilla", "ring", {"batch_size": 64}))
    made.draw([(0.5, 0.5)])
    assert made.plane is not None
    assert made.plane.real.mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    for _ in range(120):
        made.step()
    with torch.no_grad():
        mean = made.state.gan.generate(made.plane.z).mean(0)
    assert mean.tolist() == pytest.approx([0.5, 0.5], abs=0.25)


def test_restarting_is_the_beginning_again(live: LiveTraining) -> None:
    begin = weights(live.training.state)
    live.command({"do": "step", "count": 3})
    done(live, 3)
    live.command({"do": "restart"})
    wait(lambda: live.status["step"] == 0)
    assert changed(begin, weights(live.training.state)) == set()


def test_a_training_that_diverges_pauses_with_its_message_and_can_be_restarted(live: LiveTraining) -> None:
    live.command({"do": "set", "generator_lr": 1e30, "discriminator_lr": 1e30})
    live.command({"do": "play"})
    wait(lambda: live.status["note"])
    assert "Training diverged" in live.status["note"]
    assert not live.status["playing"]
    live.command({"do": "restart"})
    live.command({"do": "step"})
    done(live, 1)


@pytest.mark.parametrize("kind", ["images", "audio", "table"])
def test_samples_of_every_kind_are_shown_as_a_picture(kind: str, tmp_path: Path) -> None:
    architecture, dataset = {
        "images": ("cgan", "digits"),
        "audio": ("wavegan", f"audio:{folder_of_tones(tmp_path)}"),
        "table": ("vanilla", f"table:{table_file(tmp_path)}"),
    }[kind]
    live = LiveTraining(session(architecture, dataset, {"batch_size": 8, **({"width": 8} if kind != "table" else {})}))
    with live.watched():
        wait(lambda: live.picture or live.note)
    assert live.note == ""
    assert live.description["plane"] is None
    expected = sample_picture(live.training.state.gan, live.training.data, interactive.COLUMNS)
    assert live.picture["shape"] == list(expected.shape)
    assert base64.b64decode(live.picture["pixels"]) == expected.permute(1, 2, 0).contiguous().numpy().tobytes()
    with pytest.raises(UsageError, match="Only training on points"):
        live.command({"do": "draw", "points": [[0.1, 0.2]]})
    live.close()


def table_file(folder: Path) -> Path:
    (folder / "table.csv").write_text("a,b\n" + "".join(f"{i % 7},{i / 2}\n" for i in range(60)))
    return folder / "table.csv"


def folder_of_tones(folder: Path) -> Path:
    (folder / "tones").mkdir()
    for number in range(12):
        samples = np.sin(np.arange(1024) * (0.1 + 0.01 * number)) * 12_000
        with wave.open(str(folder / "tones" / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, 4000, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
    return folder / "tones"


def test_its_command_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    (tmp_path / "my tables").mkdir()
    dataset = f"table:{table_file(tmp_path / 'my tables')}"
    made = InteractiveTraining(session("vanilla", dataset, {"batch_size": 8}))
    assert shlex.split(made.command) == [
        *("ganzoo", "train", "vanilla", "--dataset", dataset, "--set", "batch_size=8", "--seed", "0")
    ]


def test_a_restart_still_shows_the_optimal_discriminator(live: LiveTraining) -> None:
    with live.watched():
        live.command({"do": "optimal", "on": True})
        wait(lambda: "jsd" in live.picture)
        before = live.training
        live.command({"do": "restart"})
        wait(lambda: live.training is not before and "jsd" in live.picture)


def test_a_long_training_keeps_rows_of_all_of_it_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive, "MAX_ROWS", 4)
    monkeypatch.setattr(interactive, "ROW_EVERY", 1)
    made = InteractiveTraining(session("vanilla", "ring", SMALL))
    for _ in range(24):
        made.step()
    steps = [row["step"] for row in made.rows]
    assert len(steps) <= 4
    assert steps == list(range(steps[0], 25, steps[0]))


def test_the_page_commands_it_and_hears_of_it(runs: Path, live: LiveTraining) -> None:
    client = client_of(runs, live)
    assert client.get("/api/home").json()["live"]
    assert client.post("/api/training", json={"do": "step", "count": 2}).status_code == 200
    done(live, 2)
    refusal = client.post("/api/training", json={"do": "step", "count": -2})
    assert refusal.status_code == 400
    assert "from 1 to 10,000" in refusal.json()["error"]
    for content in ("[]", "{", b"\xff", "[" * 100_000):
        assert client.post("/api/training", content=content).status_code == 400


def test_a_page_without_a_training_says_how_to_start_one(client: Any) -> None:
    response = client.post("/api/training", json={"do": "play"})
    assert response.status_code == 400
    assert "ganzoo explore --train" in response.json()["error"]


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    live = LiveTraining(session("vanilla", "ring", SMALL))
    live.command({"do": "step", "count": 60})
    done(live, 60)
    live.close()
    assert list(tmp_path.iterdir()) == []
