"""Runs that go on elsewhere: data in another place, another device, the same command again, two threads."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo.core.errors import DataError, UsageError
from ganzoo.training import checkpoint
from ganzoo.training.run import Run
from tests.conftest import Command
from tests.runs import assert_same, last_state
from tests.training.test_faults import SMALL


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        (tmp_path / "photos" / split).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / split / f"{i}.png")
    return tmp_path / "photos"


def test_data_that_have_moved_are_accepted_if_they_are_the_same(photos: Path, ganzoo_cli: Command) -> None:
    run = photos.parent / "run"
    options = ("--steps", 4, "--image-size", 8, "--batch-size", 8)
    ganzoo_cli("train", "vanilla", "--dataset", f"folder:{photos}", "--out", run, *options)
    moved = photos.rename(photos.parent / "moved photos")

    lost = ganzoo_cli("train", "--resume", run, "--steps", 6)
    assert (lost.code, "add --dataset folder:NEW_PATH" in lost.err) == (1, True)
    lost = ganzoo_cli("evaluate", run, "--metrics", "ms_ssim", "--samples", 20)
    assert (lost.code, "add --dataset folder:NEW_PATH" in lost.err) == (1, True)
    assert (
        ganzoo_cli("evaluate", run, "--metrics", "ms_ssim", "--samples", 20, "--dataset", f"folder:{moved}").code == 0
    )
    assert ganzoo_cli("evaluate", run, "--dataset", "digits").code == 2

    found = ganzoo_cli("train", "--resume", run, "--steps", 6, "--dataset", f"folder:{moved}")
    assert found.code == 0, found.err
    assert "which are the same, are now found as" in found.out
    assert Run.open(run).config["dataset"]["name"] == f"folder:{moved}"
    assert ganzoo_cli("train", "--resume", run, "--steps", 7).code == 0

    Image.new("L", (8, 8)).save(moved / "train" / "0.png")
    assert ganzoo_cli("train", "--resume", run, "--steps", 8).code == 2


def test_a_run_of_a_gpu_goes_on_on_a_cpu_and_says_so(tmp_path: Path, ganzoo_cli: Command) -> None:
    run = ganzoo.train("vanilla", out=tmp_path / "run", steps=2, **SMALL)
    path, _ = checkpoint.newest_valid(run.checkpoints)
    state = checkpoint.read_state(path)
    state["identity"]["device"] = "cuda"
    state["rng"] = torch.zeros(16, dtype=torch.uint8)  # what a GPU's generator has
    state["cuda_rng"] = [torch.zeros(16, dtype=torch.uint8)]
    torch.save(state, path / "state.pt")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["state.pt"] = {
        "bytes": (path / "state.pt").stat().st_size, "sha256": checkpoint.sha256(path / "state.pt")
    }  # fmt: skip
    (path / "manifest.json").write_text(json.dumps(manifest))
    run.config["device"] = "cuda"
    run.write_config()

    if not torch.cuda.is_available():
        refused = ganzoo_cli("train", "--resume", run.path, "--steps", 4)
        assert (refused.code, "Choose auto or cpu" in refused.err) == (2, True)
    resumed = ganzoo_cli("train", "--resume", run.path, "--steps", 4, "--device", "cpu")
    assert resumed.code == 0, resumed.err
    assert "trained on cuda and now continues on cpu" in resumed.out
    assert Run.open(run.path).config["device"] == "cpu"
    again = ganzoo_cli("train", "--resume", run.path, "--steps", 5)
    assert (again.code, "now continues" in again.out) == (0, False)


def test_the_same_command_again_goes_on(tmp_path: Path, ganzoo_cli: Command) -> None:
    words = ("train", "vanilla", "--dataset", "digits", "--batch-size", 16, "--out", tmp_path / "run", "--autoresume")
    assert ganzoo_cli(*words, "--steps", 3).code == 0
    assert ganzoo_cli(*words, "--steps", 6).code == 0
    assert [resume["step"] for resume in Run.open(tmp_path / "run").config["resumes"]] == [3]
    ganzoo.train("vanilla", dataset="digits", batch_size=16, steps=6, out=tmp_path / "whole")
    assert_same(last_state(tmp_path / "run"), last_state(tmp_path / "whole"))
    done = ganzoo_cli(*words, "--steps", 6)
    assert (done.code, "Nothing is left to train" in done.out) == (0, True)
    other = ganzoo_cli(*words, "--steps", 9, "--set", "latent_dim=3")
    assert (other.code, "settings.latent_dim" in other.err) == (2, True)
    assert ganzoo_cli("train", "vanilla", "--dataset", "digits", "--autoresume").code == 2


def test_a_run_that_was_killed_before_its_first_checkpoint_is_started_again(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", out=tmp_path / "run", steps=2, **SMALL)
    shutil.rmtree(run.checkpoints)
    run.checkpoints.mkdir()
    ganzoo.train("vanilla", out=run.path, steps=2, autoresume=True, **SMALL)
    ganzoo.train("vanilla", out=tmp_path / "whole", steps=2, **SMALL)
    assert_same(last_state(run.path), last_state(tmp_path / "whole"))


def test_two_trainings_in_threads_of_one_process_are_refused(tmp_path: Path) -> None:
    refused: list[BaseException] = []

    class Starts(ganzoo.Callback):
        def on_step(self, step: int, seconds: float) -> None:
            def train() -> None:
                try:
                    ganzoo.train("vanilla", out=tmp_path / "other", steps=1, **SMALL)
                except UsageError as error:
                    refused.append(error)

            thread = threading.Thread(target=train)
            thread.start()
            thread.join()

    ganzoo.train("vanilla", out=tmp_path / "run", steps=1, callbacks=[Starts()], **SMALL)
    assert "Another thread of this process is training" in str(refused[0])
    assert not (tmp_path / "other").exists()
    ganzoo.train("vanilla", out=tmp_path / "other", steps=1, **SMALL)


def test_everything_that_names_a_run_is_understood(tmp_path: Path, ganzoo_cli: Command) -> None:
    run = ganzoo.train("vanilla", out=tmp_path / "a run", steps=1, **SMALL)
    assert ganzoo.load(run).classes == 0
    assert ganzoo.train(resume=run, steps=2).path == run.path
    for inside in (run.checkpoints / "step-00000002", run.path / "config.json", run.samples):
        result = ganzoo_cli("sample", inside)
        assert (result.code, f"part of the run {run.path}: give that directory" in result.err) == (2, True)
    result = ganzoo_cli("train", "vanilla", "--dataset", "digits", "--out", run.path)
    assert f"--resume '{run.path}'." in result.err


def test_paths_in_files_with_a_byte_order_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ganzoo_cli: Command
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "options.toml").write_text('out = "~/run"\nsteps = 1\ndataset = "digits"\n', "utf-8-sig")
    result = ganzoo_cli("train", "vanilla", "--config", "~/options.toml")
    assert result.code == 0, result.err
    assert Run.open("~/run").path == tmp_path / "run"


@pytest.mark.parametrize("count", [1, 8])
def test_data_without_variety_raise_an_alarm_and_rows_stay_json(count: int, tmp_path: Path) -> None:
    (tmp_path / "same").mkdir()
    for i in range(count):
        Image.new("L", (8, 8), 100).save(tmp_path / "same" / f"{i}.png")
    run = ganzoo.train(
        "vanilla", dataset=f"folder:{tmp_path / 'same'}", out=tmp_path / "run", steps=100, batch_size=count,
        image_size=8, log_every=25, generator_widths=(16,), discriminator_widths=(16,),
    )  # fmt: skip
    text = run.metrics_file.read_text()
    assert "Infinity" not in text
    assert "NaN" not in text
    assert [alarm.name for alarm in run.alarms()] == ["no variety in the data"]


def test_weights_are_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", out=tmp_path / "run", steps=1, **SMALL)
    path, _ = checkpoint.newest_valid(run.checkpoints)
    assert len({file.stat().st_mode for file in path.iterdir()}) == 1


def test_missing_data_of_another_kind_get_no_hint(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", out=tmp_path / "run", steps=1, **SMALL)
    run.config["dataset"]["sha256"] = "0" * 64
    run.write_config()
    with pytest.raises((DataError, UsageError)) as refused:
        ganzoo.evaluate(run.path)
    assert "NEW_PATH" not in str(refused.value)
