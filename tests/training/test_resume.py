"""A run that was stopped or killed and resumed equals an uninterrupted one, bit for bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ganzoo
from ganzoo.cli import main
from ganzoo.core import registry
from ganzoo.core.errors import CheckpointError, GanzooError, UsageError
from ganzoo.ops import cpu_library, use_backend
from ganzoo.training import checkpoint
from ganzoo.training.run import Run
from tests.ports.test_ports import PORTS
from tests.ranks import ended, join, start
from tests.runs import assert_same, last_state, timeless

CARDS = {entry.name: entry.card for entry in registry.architectures() if entry.error is None}
OF_DIGITS = [
    name
    for name, card in CARDS.items()
    if "images" in card.kinds and card.example(card.Config()) is None and name not in {port.target for port in PORTS}
]
"""The others, of data that digits are not or with a step of their own, are killed and resumed in tests/ports."""
SMALL = {"batch_size": 16, "checkpoint_every": 4, "sample_every": 100}


@pytest.mark.parametrize("architecture", OF_DIGITS)
def test_stopped_and_resumed_equals_uninterrupted(architecture: str, tmp_path: Path) -> None:
    card = CARDS[architecture]
    small = {**SMALL, **card.check_settings, "dataset": "mosaic:digits" if card.paired else "digits"}
    whole = ganzoo.train(architecture, steps=10, out=tmp_path / "whole", **small)
    ganzoo.train(architecture, steps=4, out=tmp_path / "parts", **small)
    parts = ganzoo.train(resume=tmp_path / "parts", steps=10)
    assert_same(last_state(parts.path), last_state(whole.path))
    assert timeless(parts.path) == timeless(whole.path)


@pytest.mark.parametrize(
    "settings",
    [
        {"penalty": "r1"},
        {"penalty": "gradient"},
        {"accumulate": 4},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"optimizer": "rmsprop"},
    ],
    ids=str,
)
def test_resume_is_exact_with(settings: dict[str, Any], tmp_path: Path) -> None:
    options = {"dataset": "digits", "batch_size": 8, "width": 8, "checkpoint_every": 2, **settings}
    whole = ganzoo.train("dcgan", steps=5, out=tmp_path / "whole", **options)
    ganzoo.train("dcgan", steps=2, out=tmp_path / "parts", **options)
    parts = ganzoo.train(resume=tmp_path / "parts", steps=5)
    assert_same(last_state(parts.path), last_state(whole.path))


@pytest.mark.skipif(
    cpu_library.unavailable_reason() is not None, reason=f"no native kernels: {cpu_library.unavailable_reason()}"
)
def test_resume_is_exact_with_the_native_kernels(tmp_path: Path) -> None:
    options = {"dataset": "digits", "image_size": 16, "batch_size": 8, "width": 16, "checkpoint_every": 2}
    with use_backend("native"):  # these layers are too small for "auto" to choose the kernels
        whole = ganzoo.train("dcgan", steps=5, out=tmp_path / "whole", **options)
        ganzoo.train("dcgan", steps=2, out=tmp_path / "parts", **options)
        parts = ganzoo.train(resume=tmp_path / "parts", steps=5)
    assert_same(last_state(parts.path), last_state(whole.path))


def test_same_seed_same_weights_other_seed_other_weights(tmp_path: Path) -> None:
    runs = [
        ganzoo.train("cgan", dataset="digits", steps=3, seed=seed, out=tmp_path / str(i), **SMALL)
        for i, seed in enumerate((1, 1, 2))
    ]
    first, again, other = (last_state(run.path)["model"] for run in runs)
    assert_same(first, again)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def train(*words: object) -> None:
    """`ganzoo train`; for a process of its own."""
    sys.argv = ["ganzoo", "train", *map(str, words)]
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    main()


def wait_for_checkpoint(run: Path, step: int, is_alive: Callable[[], bool]) -> None:
    manifest = run / "checkpoints" / f"step-{step:08d}" / "manifest.json"
    deadline = time.monotonic() + 60
    while not manifest.exists() and is_alive() and time.monotonic() < deadline:
        time.sleep(0.002)


def start_and_kill(run: Path, words: list[object], after_step: int) -> None:
    process = start(train, *words)
    with ended([process]):
        wait_for_checkpoint(run, after_step, process.is_alive)
        os.kill(process.pid or 0, signal.SIGKILL)
        assert join(process) == -signal.SIGKILL


def test_sigkill_at_several_steps_then_resume_equals_uninterrupted(tmp_path: Path) -> None:
    options: list[object] = ["--dataset", "digits", "--batch-size", 16, "--set", "width=16", "--checkpoint-every", 5]
    options += ["--sample-every", 1000]
    assert join(start(train, "cgan", *options, "--steps", 100, "--out", tmp_path / "whole"), 120) == 0
    killed = tmp_path / "killed"
    start_and_kill(killed, ["cgan", *options, "--steps", 100, "--out", killed], 5)
    for after_step in (30, 60):
        start_and_kill(killed, ["--resume", killed], after_step)
    assert join(start(train, "--resume", killed), 120) == 0
    assert_same(last_state(killed), last_state(tmp_path / "whole"))
    assert timeless(killed) == timeless(tmp_path / "whole")


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_a_checkpoint_and_sets_the_exit_code(how: signal.Signals, code: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", "vanilla", "--dataset", "digits", "--steps", "1000000", "--checkpoint-every", "10", "--out", run]
    process = subprocess.Popen(  # not forked: signals meet all that a user's process has
        [sys.executable, "-m", "ganzoo", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_for_checkpoint(run, 10, lambda: process.poll() is None)
    process.send_signal(how)
    assert process.wait(timeout=60) == code
    path, problems = checkpoint.newest_valid(run / "checkpoints")
    assert not problems
    assert checkpoint.read_state(path)["step"] == Run.open(run).metrics()[-1]["step"]


def test_changed_settings_are_refused_with_the_difference(tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=2, out=tmp_path / "run", **SMALL)
    with pytest.raises(UsageError) as refusal:
        ganzoo.train("vanilla", resume=run.path, dataset="digits", seed=5, steps=4)
    assert "cannot make a vanilla of this run: it is a cgan" in str(refusal.value)
    with pytest.raises(UsageError) as refusal:
        ganzoo.train(resume=run.path, seed=5, batch_size=32, image_size=16, steps=4)
    for line in ("seed: 0 -> 5", "settings.batch_size: 16 -> 32", "settings.image_size: none -> 16"):
        assert line in str(refusal.value)
    assert len(Run.open(run.path).metrics()) == 1


def test_a_finished_run_can_be_resumed_without_harm(tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=3, out=tmp_path / "run", **SMALL)
    before = last_state(run.path)
    ganzoo.train(resume=run.path)
    assert_same(last_state(run.path), before)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = ganzoo.train("cgan", dataset="digits", steps=8, out=tmp_path / "whole", **SMALL)
    broken = tmp_path / "whole" / "checkpoints" / "step-00000008" / "ema.safetensors"
    expected = last_state(whole.path)
    content = bytearray(broken.read_bytes())
    content[-1] ^= 1
    broken.write_bytes(content)
    run = ganzoo.train(resume=whole.path)
    assert "step-00000008/ema.safetensors is damaged" in caplog.text
    assert_same(last_state(run.path), expected)


def test_without_any_intact_checkpoint_resume_fails_with_the_reasons(tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=2, out=tmp_path / "run", **SMALL)
    for path in run.checkpoints.glob("*/model.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-00000002/model\.safetensors is damaged"):
        ganzoo.train(resume=run.path, steps=3)


def edit(run: Path, **changes: Any) -> None:
    config = json.loads((run / "config.json").read_text())
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = config
        for parent in parents:
            place = place[parent]
        if value is None:
            del place[last]
        else:
            place[last] = value
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "changes", [{"seed": 7}, {"settings__generator_lr": 0.5}, {"settings__batch_size": 32}], ids=str
)
def test_an_edited_config_is_not_resumed_as_if_it_were_the_run(changes: dict[str, Any], tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=2, out=tmp_path / "run", **SMALL)
    edit(run.path, **changes)
    with pytest.raises(UsageError, match="cannot change what step-00000002 was trained with"):
        ganzoo.train(resume=run.path, steps=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": None}, "lacks architecture"),
        ({"settings": "x"}, "settings is 'x', expected dict"),
        ({"dataset__size": "x"}, "dataset.size is 'x', expected int"),
        ({"seed": "0"}, "seed is '0', expected int"),
        ({"schedule__steps": {}}, r"schedule.steps is \{\}, expected int or none"),
        ({"schedule__steps": {"x": 1}}, "schedule.steps is {'x': 1}, expected int or none"),
        ({"dataset__class_names": [".."]}, "class_names does not name 10 classes"),
    ],
    ids=str,
)
def test_a_damaged_config_is_one_message(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=1, out=tmp_path / "run", **SMALL)
    edit(run.path, **changes)
    for use in (lambda: ganzoo.load(run.path), lambda: ganzoo.train(resume=run.path)):
        with pytest.raises(GanzooError, match=message):
            use()


def test_a_run_killed_before_its_first_interval_can_be_resumed(tmp_path: Path) -> None:
    options = ["--dataset", "digits", "--batch-size", 16, "--checkpoint-every", 100000, "--steps", 100000]
    run = tmp_path / "run"
    start_and_kill(run, ["vanilla", *options, "--out", run], 0)
    ganzoo.train(resume=run, steps=3)
    whole = ganzoo.train("vanilla", dataset="digits", batch_size=16, steps=3, out=tmp_path / "whole")
    assert_same(last_state(run)["model"], last_state(whole.path)["model"])


def test_a_resume_is_recorded_in_config_json(tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=2, out=tmp_path / "run", **SMALL)
    (resume,) = ganzoo.train(resume=run.path, steps=3).config["resumes"]
    assert resume["step"] == 2
    assert resume["versions"]["torch"] == torch.__version__


def test_other_files_in_the_run_are_left_alone(tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=2, out=tmp_path / "run", **SMALL)
    (run.path / "checkpoints" / "step-foo").mkdir()
    (run.path / "samples" / "step-foo.png").touch()
    (run.path / "metrics.jsonl").unlink()
    ganzoo.train(resume=run.path, steps=3)
    assert (run.path / "checkpoints" / "step-foo").exists()
    assert (run.path / "samples" / "step-foo.png").exists()


def test_loading_past_a_damaged_checkpoint_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=2, out=tmp_path / "run", **SMALL)
    (run.checkpoints / "step-00000002" / "ema.safetensors").write_bytes(b"")
    ganzoo.load(run.path)
    assert "step-00000002/ema.safetensors is damaged" in caplog.text
