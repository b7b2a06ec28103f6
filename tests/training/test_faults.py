"""Faults during training: kills at any moment, full disks, removed directories, concurrent runs."""

from __future__ import annotations

import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import ganzoo
from ganzoo.cli import main
from ganzoo.core.errors import GanzooError
from ganzoo.training import checkpoint, loop
from ganzoo.training.callbacks import Callback
from ganzoo.training.run import Run
from tests.ranks import ended, join, start
from tests.runs import assert_same, last_state, timeless

SMALL = {"dataset": "digits", "batch_size": 16, "generator_widths": (16,), "discriminator_widths": (16,)}


def train_or_resume(out: Path, **options: Any) -> None:
    """Train a new run in `out`, or resume the run that is there."""
    if (out / "config.json").exists():
        ganzoo.train(resume=out)
    else:
        ganzoo.train("vanilla", out=out, **{**SMALL, **options})


def train_in_process(out: Path, options: dict[str, Any]) -> None:
    train_or_resume(out, **options)


def command(folder: Path, *words: object) -> None:
    """Run `ganzoo` in `folder`, with its output in the file "output". LARGEST limits the size of files."""
    os.chdir(folder)
    if "LARGEST" in os.environ:
        largest = int(os.environ["LARGEST"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    sys.stderr = sys.stdout = (folder / "output").open("a", buffering=1)
    sys.argv = ["ganzoo", *map(str, words)]
    main()


def killed_at(event: int, out: Path, options: dict[str, Any]) -> None:
    """Train until the process kills itself at file system event `event` (open, rename, ...) of saving step 4."""
    save, prune, events = checkpoint.save, checkpoint.prune, itertools.count()
    writing = False

    def watch(name: str, _: tuple[Any, ...]) -> None:
        if writing and name.startswith(("open", "os.", "shutil.")) and next(events) == event:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(directory: Path, step: int, *rest: Any) -> Path:
        nonlocal writing
        writing = step == 4
        return save(directory, step, *rest)

    def last(*arguments: Any) -> None:
        nonlocal writing
        prune(*arguments)
        writing = False

    checkpoint.save, checkpoint.prune = watched, last
    sys.addaudithook(watch)
    train_or_resume(out, **options)


@pytest.mark.parametrize("kills", [6, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_resumed_equals_uninterrupted(kills: int, tmp_path: Path) -> None:
    options = {"steps": 60 * kills, "checkpoint_every": 2, "sample_every": 9}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted, chance = start(train_in_process, whole, options), random.Random(0)
    for _ in range(kills):
        process = start(train_in_process, killed, options)
        process.join(chance.uniform(0.05, 1.0))
        process.kill()
        process.join()
        steps = [int(path.name.removeprefix("step-")) for path in (killed / "checkpoints").glob("step-*")]
        if max(steps, default=0) > 40 * kills:  # a fast machine: the last process needs steps to train
            break
    assert steps
    assert join(start(train_in_process, killed, options)) == 0
    assert join(uninterrupted) == 0
    assert_same(last_state(killed), last_state(whole))
    assert timeless(killed) == timeless(whole)
    assert len(list((killed / "checkpoints").iterdir())) == 2
    assert sorted(p.name for p in (killed / "samples").iterdir()) == sorted(
        p.name for p in (whole / "samples").iterdir()
    )


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_inside_a_checkpoint_write(every: int, tmp_path: Path) -> None:
    """Every `every`th file system event of the write is the last, until a process survives all of them."""
    options = {"steps": 6, "checkpoint_every": 2}
    # in a process as well, because it determines the number of threads
    assert join(start(train_in_process, tmp_path / "whole", options)) == 0
    expected = last_state(tmp_path / "whole")
    for event in itertools.count(0, every):
        run = tmp_path / str(event)
        code = join(start(killed_at, event, run, options))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        path, _ = checkpoint.newest_valid(run / "checkpoints")
        assert path.name in ("step-00000002", "step-00000004")
        train_or_resume(run)
        assert_same(last_state(run), expected)
        assert not list(run.glob("checkpoints/.*"))
    assert event >= 12


def test_a_second_interrupt_tears_nothing(tmp_path: Path) -> None:
    words = ("train", "vanilla", "--dataset", "digits", "--steps", 10**6, "--checkpoint-every", 20, "--out", "run")
    process = start(command, tmp_path, *words)
    with ended([process]):
        while not (tmp_path / "run" / "checkpoints" / "step-00000020").exists():
            assert process.is_alive()
            time.sleep(0.01)
        while process.is_alive():
            os.kill(process.pid or 0, signal.SIGINT)
            process.join(0.02)
        assert process.exitcode == 130
    path, problems = checkpoint.newest_valid(tmp_path / "run" / "checkpoints")
    assert not problems
    assert checkpoint.read_state(path)["step"] == Run.open(tmp_path / "run").metrics()[-1]["step"]
    assert "Traceback" not in (tmp_path / "output").read_text()


def interrupted_by(number: signal.Signals, out: Path) -> None:
    """Train, with this signal sent at every file system event of writing the checkpoint of step 4."""
    save, writing = checkpoint.save, False

    def watch(name: str, _: tuple[Any, ...]) -> None:
        if writing and name.startswith(("open", "os.", "shutil.")) and name != "os.kill":
            os.kill(os.getpid(), number)

    def watched(directory: Path, step: int, *rest: Any) -> Path:
        nonlocal writing
        writing = step == 4
        path = save(directory, step, *rest)
        writing = False
        return path

    checkpoint.save = watched
    sys.addaudithook(watch)
    train_or_resume(out, steps=9, checkpoint_every=2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_at_every_moment_of_a_write_do_not_tear_it(number: signal.Signals, code: int, tmp_path: Path) -> None:
    assert join(start(interrupted_by, number, tmp_path / "run")) == code
    path, problems = checkpoint.newest_valid(tmp_path / "run" / "checkpoints")
    assert (path.name, problems) == ("step-00000004", [])
    train_or_resume(tmp_path / "run")
    assert join(start(train_in_process, tmp_path / "whole", {"steps": 9, "checkpoint_every": 2})) == 0
    assert_same(last_state(tmp_path / "run"), last_state(tmp_path / "whole"))


@pytest.fixture(params=["512k"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of the requested size, or a read-only one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    option = request.param if request.param == "ro" else f"size={request.param}"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", option, "ganzoo", folder], capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_one_message_and_the_last_checkpoint_stays(disk: Path, tmp_path: Path) -> None:
    for i in range(16):
        Image.new("L", (8, 8), 10 * i).save(disk / f"{i}.png")
    images = {path: path.read_bytes() for path in disk.glob("*.png")}
    words = ["train", "vanilla", "--dataset", f"folder:{disk}", "--image-size", 8, "--batch-size", 16]
    words += ["--set", "generator_widths=64", "--set", "discriminator_widths=64"]
    run = disk / "run"
    code = join(
        start(command, tmp_path, *words, "--steps", 30, "--checkpoint-every", 5, "--out", run, XDG_CACHE_HOME=tmp_path)
    )
    output = (tmp_path / "output").read_text()
    assert (code, output.count("Error:")) == (1, 1), output
    assert "Traceback" not in output
    path, problems = checkpoint.newest_valid(run / "checkpoints")
    assert not problems
    assert not list(run.rglob(".*-*"))
    assert {path: path.read_bytes() for path in images} == images
    for other in checkpoint.checkpoints(run / "checkpoints"):
        if other != path:
            shutil.rmtree(other)
    assert ganzoo.load(run).sample(2).shape[0] == 2


def test_files_that_cannot_grow_are_one_message(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_or_resume(run, steps=2)
    before = last_state(run)
    code = join(start(command, tmp_path, "train", "--resume", "run", "--steps", 9, LARGEST=9000))
    output = (tmp_path / "output").read_text()
    assert (code, output.count("Error:")) == (1, 1), output
    assert "Cannot write the checkpoint of step 9" in output
    assert "Traceback" not in output
    assert_same(last_state(run), before)


@pytest.mark.parametrize("disk", ["ro"], indirect=True)
def test_a_read_only_directory_is_one_message(disk: Path, tmp_path: Path) -> None:
    words = ("train", "vanilla", "--dataset", "digits", "--steps", 1, "--out", disk / "run")
    assert join(start(command, tmp_path, *words)) == 1
    output = (tmp_path / "output").read_text()
    assert output.startswith("Error: Cannot create the run directory: [Errno 30] Read-only file system")
    assert output.count("\n") == 1


class Remover(Callback):
    def __init__(self, run: Path):
        self.path = run

    def on_step(self, step: int, seconds: float) -> None:
        while step == 3 and self.path.exists():  # the first checkpoint may still be being written
            shutil.rmtree(self.path, ignore_errors=True)


@pytest.mark.parametrize("option", ["checkpoint_every", "sample_every"])
def test_a_directory_removed_while_training_stays_removed(option: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(GanzooError, match=r"Cannot write .*(metrics\.jsonl|step-00000005|checkpoint of step [05])"):
        train_or_resume(run, steps=9, callbacks=[Remover(run)], **{option: 5})
    assert not run.exists()


def test_a_lock_that_is_a_link_is_refused_and_its_target_unchanged(tmp_path: Path) -> None:
    run, precious = tmp_path / "run", tmp_path / "precious"
    train_or_resume(run, steps=1)
    precious.write_text("mine")
    (run / ".lock").unlink()
    (run / ".lock").symlink_to(precious)
    with pytest.raises(GanzooError, match="symbolic link"):
        ganzoo.train(resume=run, steps=2)
    assert precious.read_text() == "mine"


def test_of_runs_started_in_one_directory_only_one_trains(tmp_path: Path) -> None:
    words = ("train", "vanilla", "--dataset", "digits", "--steps", 3, "--out", "run", "--seed")
    processes = [start(command, tmp_path, *words, seed) for seed in range(4)]
    codes = [join(process) for process in processes]
    assert sorted(codes) == [0, 2, 2, 2]
    assert Run.open(tmp_path / "run").config["seed"] == codes.index(0)
    assert checkpoint.newest_valid(tmp_path / "run" / "checkpoints")[1] == []


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Clock:
    """A clock that advances by `seconds` whenever it is read."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.time = 0.0

    def monotonic(self) -> float:
        self.time += self.seconds
        return self.time


class ResourceWatch(Callback):
    """Records open files and memory at every checkpoint, and checks which files the run directory holds."""

    def __init__(self) -> None:
        self.usage: list[tuple[int, int]] = []

    def on_checkpoint(self, path: Path, step: int) -> None:
        self.usage.append((open_files(), resident_bytes()))
        run = path.parents[1]
        assert sorted(entry.name for entry in path.parent.iterdir()) == [
            f"step-{number:08d}" for number in (step - 1, step) if number >= 0
        ]
        assert len(list(run.glob("best/*"))) <= 2
        assert len(list(run.glob(".*"))) == 1  # the lock


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")
@pytest.mark.parametrize("steps", [100, pytest.param(2160, marks=pytest.mark.slow)])
def test_twelve_hours_and_a_checkpoint_a_step_grow_nothing(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # the speed of the disk is not tested
    monkeypatch.setattr(loop, "time", Clock(12 * 3600 / steps))
    watch, run = ResourceWatch(), tmp_path / "run"
    ganzoo.train(
        "vanilla", dataset="ring", batch_size=16, minutes=720, out=run, callbacks=[watch],
        checkpoint_every=1, sample_every=steps // 4, evaluate_every=steps // 12, best_by="modes",
    )  # fmt: skip
    assert Run.open(run).metrics()[-1]["seconds"] == pytest.approx(12 * 3600)
    assert len(watch.usage) == steps + 1
    middle, last = watch.usage[steps // 2], watch.usage[-1]
    assert last[0] <= middle[0]
    assert last[1] - middle[1] < 8 << 20
    evaluations = Run.open(run).evaluations()
    assert len(evaluations) >= 12
    best = max(evaluations, key=lambda row: (row["rank"], -row["step"]))
    assert checkpoint.newest_valid(run / "best")[0].name == f"step-{best['step']:08d}"
    assert len(list(run.glob("samples/*"))) <= 6
