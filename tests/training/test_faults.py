"""What happens to trainings: killed anywhere, disks full, directories gone, two in one place."""

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
from tests.training.test_resume import assert_same, last_state, timeless

SMALL = {"dataset": "digits", "batch_size": 16, "generator_widths": (16,), "discriminator_widths": (16,)}


def train(out: Path, **options: Any) -> None:
    """A training of `out`: begun, or gone on with where there is a run."""
    if (out / "config.json").exists():
        ganzoo.train(resume=out)
    else:
        ganzoo.train("vanilla", out=out, **{**SMALL, **options})


def begin_or_go_on(out: Path, options: dict[str, Any]) -> None:
    train(out, **options)


def command(folder: Path, *words: object) -> None:
    """The command line, in `folder`; what it says goes into the file "said". LARGEST limits the size of files."""
    os.chdir(folder)
    if "LARGEST" in os.environ:
        largest = int(os.environ["LARGEST"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    sys.stderr = sys.stdout = (folder / "said").open("a", buffering=1)
    sys.argv = ["ganzoo", *map(str, words)]
    main()


def killed_at(event: int, out: Path, options: dict[str, Any]) -> None:
    """Train, and die at this file system event (open, rename, remove, ...) of writing the checkpoint of step 4."""
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
    train(out, **options)


@pytest.mark.parametrize("kills", [6, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_random_moments_and_resumed_equals_uninterrupted(kills: int, tmp_path: Path) -> None:
    options = {"steps": 150, "checkpoint_every": 2, "sample_every": 9}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    uninterrupted, chance = start(begin_or_go_on, whole, options), random.Random(0)
    for _ in range(kills):
        process = start(begin_or_go_on, killed, options)
        process.join(chance.uniform(0.05, 1.0))
        process.kill()
        process.join()
    assert join(start(begin_or_go_on, killed, options)) == 0
    assert join(uninterrupted) == 0
    assert_same(last_state(killed), last_state(whole))
    assert timeless(killed) == timeless(whole)
    assert len(list((killed / "checkpoints").iterdir())) == 2
    assert sorted(p.name for p in (killed / "samples").iterdir()) == sorted(
        p.name for p in (whole / "samples").iterdir()
    )


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_inside_a_checkpoint_write(every: int, tmp_path: Path) -> None:
    """Events are counted until a training outlives its checkpoint: then all of the write has been killed somewhere."""
    options = {"steps": 6, "checkpoint_every": 2}
    # a process of the same kind, since how many threads a new one starts with depends on the one it comes from
    assert join(start(begin_or_go_on, tmp_path / "whole", options)) == 0
    expected = last_state(tmp_path / "whole")
    for event in itertools.count(0, every):
        run = tmp_path / str(event)
        code = join(start(killed_at, event, run, options))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        path, _ = checkpoint.newest_valid(run / "checkpoints")
        assert path.name in ("step-00000002", "step-00000004")
        train(run)
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
    assert "Traceback" not in (tmp_path / "said").read_text()


def interrupted_by(number: signal.Signals, out: Path) -> None:
    """Train, with this signal coming at every file system event of writing the checkpoint of step 4."""
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
    train(out, steps=9, checkpoint_every=2)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_at_every_moment_of_a_write_do_not_tear_it(number: signal.Signals, code: int, tmp_path: Path) -> None:
    assert join(start(interrupted_by, number, tmp_path / "run")) == code
    path, problems = checkpoint.newest_valid(tmp_path / "run" / "checkpoints")
    assert (path.name, problems) == ("step-00000004", [])
    train(tmp_path / "run")
    assert join(start(begin_or_go_on, tmp_path / "whole", {"steps": 9, "checkpoint_every": 2})) == 0
    assert_same(last_state(tmp_path / "run"), last_state(tmp_path / "whole"))


@pytest.fixture(params=["512k"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of this size, or one that is read-only."""
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
    said = (tmp_path / "said").read_text()
    assert (code, said.count("Error:")) == (1, 1), said
    assert "Traceback" not in said
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
    train(run, steps=2)
    before = last_state(run)
    code = join(start(command, tmp_path, "train", "--resume", "run", "--steps", 9, LARGEST=9000))
    said = (tmp_path / "said").read_text()
    assert (code, said.count("Error:")) == (1, 1), said
    assert "Cannot write the checkpoint of step 9" in said
    assert "Traceback" not in said
    assert_same(last_state(run), before)


@pytest.mark.parametrize("disk", ["ro"], indirect=True)
def test_a_read_only_directory_is_one_message(disk: Path, tmp_path: Path) -> None:
    words = ("train", "vanilla", "--dataset", "digits", "--steps", 1, "--out", disk / "run")
    assert join(start(command, tmp_path, *words)) == 1
    said = (tmp_path / "said").read_text()
    assert said.startswith("Error: Cannot create the run directory: [Errno 30] Read-only file system")
    assert said.count("\n") == 1


class Remover(Callback):
    def __init__(self, run: Path):
        self.path = run

    def on_step(self, step: int, seconds: float) -> None:
        if step == 3:
            shutil.rmtree(self.path)


@pytest.mark.parametrize("option", ["checkpoint_every", "sample_every"])
def test_a_directory_removed_while_training_stays_removed(option: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(GanzooError, match=r"Cannot write .*(metrics\.jsonl|step-00000005)"):
        train(run, steps=9, callbacks=[Remover(run)], **{option: 5})
    assert not run.exists()


def test_a_lock_that_is_a_link_is_refused_and_its_target_stays_as_it_was(tmp_path: Path) -> None:
    run, precious = tmp_path / "run", tmp_path / "precious"
    train(run, steps=1)
    precious.write_text("mine")
    (run / ".lock").unlink()
    (run / ".lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"):
        ganzoo.train(resume=run, steps=2)
    assert precious.read_text() == "mine"


def test_of_trainings_that_start_in_one_directory_one_trains(tmp_path: Path) -> None:
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
    """Time that goes by so many seconds whenever somebody looks."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += self.seconds
        return self.now


class ResourceWatch(Callback):
    """At every checkpoint: how many files are open, how much memory is in use, and what lies on the disk."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def on_checkpoint(self, path: Path, step: int) -> None:
        self.seen.append((open_files(), resident_bytes()))
        run = path.parents[1]
        assert sorted(found.name for found in path.parent.iterdir()) == [
            f"step-{kept:08d}" for kept in (step - 1, step) if kept >= 0
        ]
        assert len(list(run.glob("best/*"))) <= 2
        assert len(list(run.glob(".*"))) == 1  # the lock


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")
@pytest.mark.parametrize("steps", [100, pytest.param(2160, marks=pytest.mark.slow)])
def test_twelve_hours_and_a_checkpoint_a_step_grow_nothing(
    steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # the disk is not what is tested
    monkeypatch.setattr(loop, "time", Clock(12 * 3600 / steps))
    watch, run = ResourceWatch(), tmp_path / "run"
    ganzoo.train(
        "vanilla", dataset="ring", batch_size=16, minutes=720, out=run, callbacks=[watch],
        checkpoint_every=1, sample_every=steps // 4, evaluate_every=steps // 12, best_by="modes",
    )  # fmt: skip
    assert Run.open(run).metrics()[-1]["seconds"] == pytest.approx(12 * 3600)
    assert len(watch.seen) == steps + 1
    middle, last = watch.seen[steps // 2], watch.seen[-1]
    assert last[0] <= middle[0]
    assert last[1] - middle[1] < 8 << 20
    evaluations = Run.open(run).evaluations()
    assert len(evaluations) >= 12
    best = max(evaluations, key=lambda line: (line["rank"], -line["step"]))
    assert checkpoint.newest_valid(run / "best")[0].name == f"step-{best['step']:08d}"
    assert len(list(run.glob("samples/*"))) <= 6
