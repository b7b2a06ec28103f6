"""Alarms: raised by training that is driven into each failure, and not by healthy training."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

import ganzoo
from ganzoo.core import registry
from ganzoo.core.errors import TrainingError
from ganzoo.training.callbacks import Callback
from ganzoo.training.failure_detection import LONG_WINDOW, REPEAT_AFTER, WARM_UP, WINDOW, Alarm, FailureDetector, swings
from ganzoo.training.run import Run
from tests.conftest import Command

HEALTHY = {
    "d_real": 0.6, "d_fake": 0.4, "generator_gradient": 2.0, "discriminator_gradient": 1.0,
    "diversity": 0.9, "duplicates": 0.1,
}  # fmt: skip
SMALL = {
    "dataset": "digits",
    "steps": 600,
    "log_every": 10,
    "generator_widths": (32, 32),
    "discriminator_widths": (32, 32),
}
DRIVEN: dict[str, dict[str, Any]] = {
    "discriminator won": {
        "loss": "minimax", "discriminator_lr": 1e-2, "generator_lr": 1e-6, "dropout": 0.0
    },
    "mode collapse": {"generator_lr": 1e-2, "discriminator_lr": 1e-6},
    "divergence": {
        "loss": "wasserstein", "penalty": "r1", "penalty_weight": 0.0, "discriminator_lr": 1e-2, "dropout": 0.0
    },
    "oscillation": {
        "dataset": "ring", "penalty": "none", "generator_lr": 1e-2, "discriminator_lr": 1e-2, "beta1": 0.9,
        "batch_size": 32,
    },
}  # fmt: skip


def shown(rows: Iterable[dict[str, Any]], loss: str = "nonsaturating", half_life: float = math.inf) -> list[Alarm]:
    """The alarms raised when a detector is shown these rows, one every 50 steps."""
    detector = FailureDetector(loss, penalty_half_life=half_life)
    alarms = [
        detector.update({**HEALTHY, **row, "step": 50 * (i + 1), "images": 3200 * (i + 1)})
        for i, row in enumerate(rows)
    ]
    return [alarm for alarm in alarms if alarm]


def after_warm_up(*changes: dict[str, Any], lines: int = 2 * WINDOW) -> Iterator[dict[str, Any]]:
    """Healthy rows of the warm-up, then `lines` rows that repeat these changes."""
    return itertools.chain([{}] * WARM_UP, itertools.islice(itertools.cycle(changes), lines))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("discriminator won", [{"d_real": 0.999, "d_fake": 0.001, "generator_gradient": 1e-6}]),
        ("mode collapse", [{"diversity": 0.02}]),
        ("mode collapse", [{"duplicates": 1.0}]),
        ("divergence", [{"generator_gradient": 1e3}]),
        ("divergence", [{"discriminator_gradient": 1e3}]),
        ("oscillation", [{"d_real": 0.9, "d_fake": 0.1}] * 3 + [{"d_real": 0.55}] * 3 + [{"d_real": 0.42}] * 3),
    ],
)
def test_each_failure_raises_its_alarm_once(name: str, changes: list[dict[str, Any]]) -> None:
    (alarm,) = shown(after_warm_up(*changes, lines=LONG_WINDOW + 5))
    assert alarm.name == name
    assert WARM_UP * 50 < alarm.step <= (WARM_UP + LONG_WINDOW + 5) * 50
    assert alarm.evidence
    assert "--set" in alarm.remedy


def test_huge_scores_are_divergence() -> None:
    (alarm,) = shown(after_warm_up({"d_real": 1e5, "d_fake": -1e5}), loss="wasserstein")
    assert alarm.name == "divergence"


@pytest.mark.parametrize("network", ["discriminator", "generator"])
def test_a_loss_that_explodes_is_divergence_in_the_first_row(network: str) -> None:
    (alarm,) = shown([{f"{network}_loss": -1e11}, {}, {f"{network}_loss": 1e12}])  # the second time is too soon
    assert (alarm.name, alarm.step) == ("divergence", 50)
    assert f"the {network}'s loss is -1e+11" in alarm.evidence
    assert not shown([{"discriminator_loss": 1e5}])


def test_a_training_that_explodes_ends_with_a_warning(ganzoo_cli: Command, tmp_path: Path) -> None:
    rates = ["--set", "generator_lr=1000", "--set", "discriminator_lr=1000"]
    result = ganzoo_cli("train", "cgan", "--dataset", "digits", "--steps", 100, *rates, "--out", tmp_path / "run")
    assert "Alarm: step 50, divergence: the discriminator's loss is" in result.out
    assert "Warning: 1 alarm (divergence); see" in result.out


def test_gradients_may_grow_as_much_as_a_penalty_has_fallen() -> None:
    grown = list(after_warm_up({"generator_gradient": 1e3}, lines=12))  # at 102,400 images
    assert not shown(grown, half_life=20_000)
    for half_life in (math.inf, 1e12, 100_000):
        (alarm,) = shown(grown, half_life=half_life)
        assert alarm.name == "divergence"
    (alarm,) = shown(after_warm_up({"generator_gradient": 1e5}), half_life=1.0)
    assert alarm.name == "divergence"


def test_small_fluctuations_around_one_half_are_not_oscillation() -> None:
    assert not shown(
        after_warm_up({"d_real": 0.51, "d_fake": 0.49}, {"d_real": 0.5, "d_fake": 0.4999}, lines=3 * LONG_WINDOW)
    )


def test_a_failure_must_last_to_raise_an_alarm() -> None:
    assert not shown([*[{}] * WARM_UP, *[{"diversity": 0.02}] * (WINDOW - 1), *[{}] * WINDOW])


def test_rows_of_few_steps_warm_up_as_many_steps() -> None:
    detector = FailureDetector("nonsaturating")
    for step in range(5, 500, 5):  # as a healthy ragan on MNIST, with --log-every 5
        row = {**HEALTHY, "step": step, "images": 64 * step, "diversity": min(0.9, 0.02 + 0.0017 * step)}
        assert detector.update(row) is None, step


def test_a_failure_that_returns_after_a_quiet_time_raises_its_alarm_again() -> None:
    collapse = [{"diversity": 0.02}] * (WINDOW + 5)
    assert len(shown([*[{}] * WARM_UP, *collapse, *[{}] * (REPEAT_AFTER // 4), *collapse])) == 1
    assert len(shown([*[{}] * WARM_UP, *collapse, *[{}] * (REPEAT_AFTER + 5), *collapse])) == 2


def test_a_generator_that_is_still_learning_has_not_collapsed() -> None:
    growing = [{"diversity": 0.01 + 0.004 * i, "duplicates": max(0.0, 1 - 0.02 * i)} for i in range(60)]
    assert not shown(growing)


def test_scores_are_not_taken_for_probabilities() -> None:
    assert not shown(after_warm_up({"d_real": 5.0, "d_fake": -5.0}), loss="hinge")
    assert not shown(after_warm_up({"d_real": 0.999, "d_fake": 0.001}), loss="wasserstein")


@pytest.mark.parametrize(("size", "count"), [(0.12, 0), (1.2, 1)])
def test_swings_of_scores_are_measured_by_their_own_scale(size: float, count: int) -> None:
    swinging = [{"d_real": size, "d_fake": 0.0}] * 3 + [{"d_real": 0.001, "d_fake": 0.0}] * 3
    middle = [{"d_real": size / 3, "d_fake": 0.0}] * 3
    assert len(shown(after_warm_up(*swinging, *middle, lines=LONG_WINDOW + 5), loss="hinge")) == count


def test_swings() -> None:
    assert swings([1.0, 1.1, 0.9] * 10) == 0
    assert swings([0.1, 1, 10, 1] * 5) == 9
    assert swings([2.0**i for i in range(20)]) == 1


class Recorder(Callback):
    def __init__(self) -> None:
        self.alarms: list[Alarm] = []

    def on_alarm(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)


@pytest.mark.parametrize("name", DRIVEN)
def test_training_driven_into_a_failure_raises_its_alarm(name: str, tmp_path: Path) -> None:
    recorder = Recorder()
    run = ganzoo.train("vanilla", out=tmp_path / "run", callbacks=[recorder], **{**SMALL, **DRIVEN[name]})
    assert [alarm.name for alarm in recorder.alarms][:1] == [name]
    assert run.alarms() == recorder.alarms
    assert all(0 < alarm.step <= 600 for alarm in recorder.alarms)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("vanilla", {"dataset": "digits"}),
        ("vanilla", {"dataset": "digits", "loss": "hinge"}),
        ("vanilla", {"dataset": "ring", "batch_size": 64}),
        ("dcgan", {"dataset": "digits", "width": 16}),
        ("cgan", {"dataset": "digits", "width": 16}),
        ("wgan", {"dataset": "digits", "width": 16}),
        ("wgan", {"dataset": "digits", "width": 16, "penalty": "gradient"}),
    ],
)
def test_healthy_training_raises_no_alarm(architecture: str, settings: dict[str, Any], tmp_path: Path) -> None:
    run = ganzoo.train(architecture, steps=4000, out=tmp_path / "run", **settings)
    assert run.alarms() == []


def test_a_resumed_run_raises_the_alarms_of_an_uninterrupted_one(tmp_path: Path) -> None:
    failing: dict[str, Any] = {**SMALL, **DRIVEN["discriminator won"]}
    whole = ganzoo.train("vanilla", out=tmp_path / "whole", **{**failing, "steps": 300})
    assert whole.alarms()
    half = ganzoo.train("vanilla", out=tmp_path / "half", **{**failing, "steps": 50})
    assert half.alarms() == []
    resumed = ganzoo.train(resume=half.path, steps=300)
    assert [a.step for a in resumed.alarms()] == [a.step for a in whole.alarms()]


def test_alarms_after_the_checkpoint_of_a_resume_are_forgotten(tmp_path: Path) -> None:
    run = Run(tmp_path, {})
    for step in (100, 200):
        run.add_alarm(Alarm("mode collapse", step, "e", "r"))
    run.forget_after(150)
    assert [alarm.step for alarm in run.alarms()] == [100]


def test_the_command_line_shows_alarms(ganzoo_cli: Command, tmp_path: Path) -> None:
    settings = [f"--set={key}={value}" for key, value in DRIVEN["discriminator won"].items()]
    settings += ["--set=generator_widths=32,32", "--set=discriminator_widths=32,32"]
    result = ganzoo_cli(
        "train",
        "vanilla",
        "--dataset",
        "digits",
        "--steps",
        250,
        "--log-every",
        10,
        "--out",
        tmp_path / "run",
        *settings,
    )
    assert result.code == 0
    assert "Alarm: step " in result.out
    assert "discriminator won: D(real)" in result.out
    assert "Warning: 1 alarm (discriminator won); see" in result.out


def acute(*rows: dict[str, Any], loss: str = "nonsaturating") -> list[str]:
    """The names of the alarms of a training that begins with these rows, 50 steps apart."""
    return [alarm.name for alarm in shown(rows, loss=loss)]


@pytest.mark.parametrize(
    ("name", "row", "loss"),
    [
        ("discriminator won", {"d_real": 0.9995, "d_fake": 0.0004}, "nonsaturating"),
        ("discriminator won", {"d_real": 0.982, "d_fake": 0.0001}, "nonsaturating"),
        ("discriminator won", {"d_real": 50.0, "d_fake": -4.0, "discriminator_loss": 0.0}, "hinge"),
        ("discriminator won", {"d_real": 15.0, "d_fake": 1.0, "discriminator_loss": 5e-5}, "relativistic_average"),
        ("mode collapse", {"diversity": 1e-4}, "nonsaturating"),
        ("divergence", {"d_real": 1e5, "d_fake": -1e5}, "wasserstein"),
        ("labels ignored", {"label_effect": 0.01}, "nonsaturating"),
    ],
)
def test_plain_failures_are_named_in_the_first_rows(name: str, row: dict[str, Any], loss: str) -> None:
    assert acute(row, loss=loss) == []  # one row is no evidence
    assert acute(row, row, loss=loss) == [name]
    assert acute(row, {}, row, {}, loss=loss) == []


def test_what_healthy_training_begins_with_is_no_failure() -> None:
    first = {"diversity": 0.0015, "duplicates": 1.0}
    assert acute(first, {"diversity": 0.0019}, {"diversity": 0.1}) == []  # it learns
    assert acute({"diversity": 0.0069}, {"diversity": 0.005}, {"diversity": 0.69}) == []  # r3gan-cond on MNIST
    assert acute({"diversity": 0.06, "duplicates": 1.0}, {"diversity": 0.07, "duplicates": 1.0}) == []
    assert acute(*[{"d_real": 0.987, "d_fake": 0.011}] * 4) == []
    assert acute(*[{"discriminator_loss": 2e-3}] * 4, loss="relativistic_average") == []
    assert acute(*[{"label_effect": 0.19}] * 4) == []


DRIVEN_AT_ONCE: dict[str, tuple[str, dict[str, Any]]] = {
    "divergence": ("cgan", {"generator_lr": 1000, "discriminator_lr": 1000}),
    "discriminator won": ("vanilla", {"discriminator_lr": 1e-2, "generator_lr": 1e-6, "dropout": 0.0}),
}


@pytest.mark.parametrize("name", DRIVEN_AT_ONCE)
def test_training_driven_into_a_failure_is_told_within_200_steps(name: str, tmp_path: Path) -> None:
    architecture, settings = DRIVEN_AT_ONCE[name]
    run = ganzoo.train(architecture, steps=200, out=tmp_path / "run", **{"dataset": "digits", **settings})
    assert run.alarms()[0].name == name


class Damaged(Callback):
    """Turns the generator into one that fails, before the first step."""

    def __init__(self, damage: Callable[[Any], None]):
        self.damage = damage

    def on_start(self, training: Any) -> None:
        self.damage(training.state.gan)


def one_sample(gan: Any) -> None:
    generate = gan.generate
    gan.generate = lambda z, condition=None: generate(z, condition)[:1].expand(len(z), *gan.spec.shape)


def no_labels(gan: Any) -> None:
    generate = gan.generate
    gan.generate = lambda z, condition=None: generate(z, None if condition is None else 0 * condition)


@pytest.mark.parametrize(("name", "damage"), [("mode collapse", one_sample), ("labels ignored", no_labels)])
def test_a_generator_without_variety_is_told_within_200_steps(
    name: str, damage: Callable[[Any], None], tmp_path: Path
) -> None:
    run = ganzoo.train(
        "cgan", dataset="digits", steps=200, batch_size=16, out=tmp_path / "run", callbacks=[Damaged(damage)]
    )
    assert run.alarms()[0].name == name
    assert run.alarms()[0].step <= 200


BOUNDED = ("wgan", "fastgan")
"""Clipped weights, or norms in every layer, bound their scores whatever the learning rates are."""
EVERY = [entry.name for entry in registry.architectures() if entry.error is None]


def small_training(name: str, folder: Path, colour: bool = False) -> tuple[str, dict[str, Any]]:
    """The name of data that the architecture accepts, made in `folder` if need be, and settings of a small network."""
    card = registry.get_architecture(name).card
    fields = {field.name for field in dataclasses.fields(card.Config)}
    settings: dict[str, Any] = {"batch_size": 16} | ({"width": 16} if "width" in fields else {})
    if "audio" in card.kinds and "images" not in card.kinds:
        return f"audio:samples=4096:{tones(folder)}", settings
    if card.example(card.Config()) is not None:
        pytest.skip("it needs data of its own, which this test does not have")
    if "images" not in card.kinds:
        return "ring", settings
    data = f"folder:{discs(folder)}" if colour else "digits"
    return f"mosaic:{data}" if card.paired else data, settings | ({} if name == "srgan" else {"image_size": 32})


def tones(folder: Path) -> Path:
    """Recordings of two classes: noise and tones of different pitch."""
    rng = np.random.default_rng(0)
    for number in range(64):
        place = folder / "tones" / "ab"[number % 2] / f"{number}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        tone = np.sin(np.arange(4096) * rng.uniform(0.02, 0.4)) if number % 2 else rng.normal(0, 0.3, 4096)
        wavfile.write(place, 8000, (8000 * tone).astype(np.int16))
    return folder / "tones"


def discs(folder: Path) -> Path:
    """Coloured discs on coloured ground, of two classes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    for number in range(256):
        place = folder / "discs" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        centre, radius, colours = rng.uniform(8, 24, 2), rng.uniform(3, 12), rng.integers(0, 256, (2, 3))
        inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2
        Image.fromarray(np.where(inside[..., None] == bool(number % 2), *colours).astype(np.uint8)).save(place)
    return folder / "discs"


@pytest.mark.slow
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("name", EVERY)
def test_the_first_200_steps_of_every_architecture_raise_no_alarm(name: str, colour: bool, tmp_path: Path) -> None:
    dataset, settings = small_training(name, tmp_path, colour)
    run = ganzoo.train(name, dataset=dataset, steps=200, log_every=10, out=tmp_path / "run", settings=settings)
    assert run.alarms() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in EVERY if name not in BOUNDED])
def test_rates_that_are_far_too_high_are_told_within_200_steps(name: str, tmp_path: Path) -> None:
    dataset, settings = small_training(name, tmp_path)
    settings |= {"generator_lr": 1000, "discriminator_lr": 1000}
    run = None
    with contextlib.suppress(TrainingError):  # "Training diverged", where values are no longer finite
        run = ganzoo.train(name, dataset=dataset, steps=200, out=tmp_path / "run", settings=settings)
    assert run is None or {alarm.name for alarm in run.alarms()} & {"divergence", "mode collapse"}


@pytest.mark.slow
@pytest.mark.parametrize("rates", [(1e-3, 1e-7), (1e-2, 1e-6)])
@pytest.mark.parametrize("name", ["dcgan", "cgan", "acgan", "sngan", "projection", "ragan", "sagan"])
def test_a_discriminator_that_has_won_is_told_within_200_steps(
    name: str, rates: tuple[float, float], tmp_path: Path
) -> None:
    dataset, settings = small_training(name, tmp_path)
    settings |= {"discriminator_lr": rates[0], "generator_lr": rates[1]}
    run = ganzoo.train(name, dataset=dataset, steps=200, log_every=10, out=tmp_path / "run", settings=settings)
    assert [alarm.name for alarm in run.alarms()][:1] == ["discriminator won"]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_one_sample_for_all_is_told_within_200_steps_of_every_architecture(name: str, tmp_path: Path) -> None:
    dataset, settings = small_training(name, tmp_path)
    run = ganzoo.train(
        name, dataset=dataset, steps=110, out=tmp_path / "run", settings=settings, callbacks=[Damaged(one_sample)]
    )
    assert [alarm.name for alarm in run.alarms()][:1] == ["mode collapse"]
