from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Command

NORM = ["--set", "discriminator_norm=batch"]
FAST = ["--dataset", "digits", "--steps", 3, "--batch-size", 16]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_training_ends_with_a_sample_grid_and_a_preview_in_the_terminal(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("train", "cgan", *FAST)
    assert result.code == 0
    assert "Trained 3 steps" in result.out
    grid = re.search(r"Samples +(\S+\.png)", result.out)
    assert grid is not None
    assert Path(grid[1]).read_bytes().startswith(b"\x89PNG")
    assert sum(sum(map(line.count, "░▒▓█▀▄")) for line in result.out.splitlines()) > 20
    assert "\x1b" not in result.out


def test_json_keeps_stdout_to_one_object(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("train", "cgan", *FAST, "--json")
    answer = json.loads(result.out)
    assert answer["steps"] == 3
    assert answer["images"] == 48
    assert Path(answer["run"], "config.json").exists()
    assert answer["images_per_second"] > 0
    assert answer["seconds"] > 0
    assert "cgan on" in result.err


def test_dry_run_shows_the_configuration_and_writes_nothing(ganzoo_cli: Command, elsewhere: Path) -> None:
    shown = json.loads(ganzoo_cli("train", "wgan", *FAST, "--set", "penalty=gradient", "--dry-run", "--json").out)
    assert shown["settings"]["optimizer"] == "adam"
    assert shown["settings"]["batch_size"] == 16
    assert shown["schedule"]["steps"] == 3
    assert shown["parameters"]["generator"] > 0
    assert "settings.penalty" in ganzoo_cli("train", "wgan", *FAST, "--dry-run").out
    assert list(elsewhere.iterdir()) == []


def test_a_config_file_replaces_options_and_the_command_line_overrides_it(ganzoo_cli: Command, elsewhere: Path) -> None:
    (elsewhere / "my.toml").write_text(
        'dataset = "digits"\nsteps = 5\nseed = 7\n[set]\nwidth = 8\nloss = "hinge"\nbatch_size = 9\n'
    )
    words = ["train", "cgan", "--config", "my.toml", "--minutes", 2, "--set", "loss=least_squares"]
    shown = json.loads(ganzoo_cli(*words, "--dry-run", "--json").out)
    assert shown["seed"] == 7
    assert shown["schedule"]["steps"] is None
    assert shown["schedule"]["minutes"] == 2
    assert (shown["settings"]["width"], shown["settings"]["batch_size"]) == (8, 9)
    assert shown["settings"]["loss"] == "least_squares"


def test_resume_from_the_command_line(ganzoo_cli: Command) -> None:
    run = json.loads(ganzoo_cli("train", "cgan", *FAST, "--json").out)["run"]
    answer = json.loads(ganzoo_cli("train", "--resume", run, "--steps", 6, "--json").out)
    assert (answer["run"], answer["steps"]) == (run, 6)
    refused = ganzoo_cli("train", "--resume", run, "--set", "width=24")
    assert refused.code == 2
    assert "settings.width: " in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cgna", *FAST], "Did you mean cgan"),
        (["cgan", "--dataset", "minst"], "Did you mean mnist"),
        (["cgan", *FAST, "--set", "widht=3"], "Did you mean width?"),
        (["cgan", *FAST, "--set", "width"], "expected KEY=VALUE"),
        (["cgan", *FAST, "--set", "width=-1"], "width=-1 is not valid: expected integer >= 1"),
        (["cgan", *FAST, "--epochs", 2], "Give one of --steps and --epochs"),
        (["cgan", *FAST, "--set", "loss=wasserstein"], "Choose penalty=gradient, clip, r1 or r1r2"),
        (["cgan", *FAST, "--image-size", 29], "Set image_size=28 or 32"),
        (["cgan", *FAST, "--seed", "-1"], "--seed"),
        (["cgan", *FAST, "--config", "nowhere.toml"], "No such file"),
        (["cgan"], "Training needs --dataset"),
        ([], "Training needs an architecture"),
        (["--resume", "nowhere"], "is not a run directory"),
        (["--resume", ""], "is not a run directory"),
        (["cgan", "--dataset", "digits", "--epochs", "inf"], "epochs=inf is not valid"),
        (["cgan", *FAST, "--device", "meta"], "ganzoo trains on cpu, cuda, mps"),
        (["cgan", *FAST, "--set", "latent_dim=999999999999999999999"], "<= 65536"),
        (["cgan", "--dataset", "folder"], "write folder:PATH"),
        (["cgan", "--dataset", "folder:nowhere"], "does not exist"),
        (["dcgan", *FAST, "--image-size", 16, "--set", "penalty=r1", *NORM], "Choose discriminator_norm=none"),
    ],
)
def test_wrong_usage_is_one_message_exit_2_and_nothing_written(
    words: list[object], message: str, ganzoo_cli: Command, elsewhere: Path
) -> None:
    result = ganzoo_cli("train", *words)
    assert result.code == (1 if "folder:nowhere" in words else 2)
    assert message in result.err
    assert "Traceback" not in result.err
    assert not (elsewhere / "runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("steps = ", "is not valid TOML"),
        ("steps = 10.5", "steps must be an integer"),
        ("seed = true", "seed must be an integer"),
        ("out = {a = 1}", "out must be text"),
        ("steps = [1]", "steps must be an integer"),
        ("stepz = 3", "Did you mean steps"),
        ("[set]\nwidht = 3", "Did you mean width"),
        ('steps = "many"', "steps must be an integer"),
        ("set = 3", "must be a table"),
    ],
)
def test_a_wrong_config_file_is_refused(content: str, message: str, ganzoo_cli: Command, elsewhere: Path) -> None:
    (elsewhere / "my.toml").write_text(content)
    result = ganzoo_cli("train", "cgan", "--dataset", "digits", "--config", "my.toml", "--dry-run")
    assert result.code == 2
    assert message in result.err


def test_offline_without_data_says_what_to_fetch_and_where_to_put_it(elsewhere: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GANZOO_DATA"}
    environment |= {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}  # no proxy listens there
    environment["XDG_CACHE_HOME"] = str(elsewhere)
    words = [sys.executable, "-m", "ganzoo", "train", "cgan", "--dataset", "mnist"]
    result = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    assert result.returncode == 1
    assert "train-images-idx3-ubyte.gz" in result.stderr
    assert "--data-dir" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (elsewhere / "runs").exists()


def test_a_closed_pipe_does_not_end_training(elsewhere: Path) -> None:
    words = [sys.executable, "-m", "ganzoo", "train", "vanilla", *map(str, FAST), "--steps", "200", "--out", "run"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    assert (elsewhere / "run" / "checkpoints" / "step-00000200").exists()


def test_a_terminal_that_lacks_a_character_does_not_end_training(elsewhere: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-m", "ganzoo", "train", "vanilla", *map(str, FAST), "--out", "grün"]
    result = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    assert result.returncode == 0, result.stderr
    assert (elsewhere / "grün" / "config.json").exists()


def test_a_batch_too_small_for_batch_norm_is_refused(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("train", "cgan", "--dataset", "digits", "--image-size", 28, "--batch-size", 1, "--steps", 1)
    assert result.code == 1
    assert "batch_size=1 with accumulate=1 gives batch norm one value" in result.err
    assert "Choose --batch-size 2 or more" in result.err
    assert "Traceback" not in result.err
