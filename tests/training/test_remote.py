"""Runs on object storage: fsspec's memory and local file systems, and an S3 server on this machine."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

import ganzoo
from ganzoo.core.errors import StorageError, UsageError
from ganzoo.core.storage import RemoteFolder
from ganzoo.training import checkpoint, remote
from ganzoo.training.run import Run
from tests.conftest import Command
from tests.ranks import join, start
from tests.runs import assert_same, last_state

OPTIONS = {"dataset": "digits", "batch_size": 16, "generator_widths": (16,), "discriminator_widths": (16,)}
SCHEDULE = {"steps": 6, "checkpoint_every": 2, "sample_every": 3}
LOST = 10**6


@pytest.fixture(params=["memory", "file", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty folder."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    return f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/storage"


Machine = Callable[[], Path]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes this process one of another machine, which has no copy of any run; returns its data folder."""
    numbers = itertools.count()

    def change() -> Path:
        home = tmp_path / f"machine-{next(numbers)}"
        monkeypatch.setenv("XDG_DATA_HOME", str(home))
        return home

    change()
    return change


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The last state of an uninterrupted training in a directory."""
    run = ganzoo.train("vanilla", out=tmp_path_factory.mktemp("whole") / "run", **OPTIONS, **SCHEDULE)
    return last_state(run.path)


def state_of(url: str, folder: Path) -> dict[str, Any]:
    """The last state of the run at `url`, downloaded as it is there."""
    fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    shutil.rmtree(folder, ignore_errors=True)
    for name in fs.find(root):
        target = folder / name[len(root) :].lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(fs.cat_file(name))
    return last_state(folder)


def test_a_run_is_trained_resumed_and_used_from_other_machines(
    storage: str, machine: Machine, whole: dict[str, Any], tmp_path: Path, ganzoo_cli: Command
) -> None:
    url = f"{storage}/run"
    first = ganzoo.train(
        "vanilla", out=url, evaluate_every=2, best_by="coverage", **OPTIONS, **{**SCHEDULE, "steps": 4}
    )
    assert first.label == url
    machine()
    ganzoo.train(resume=url, steps=6)
    assert_same(state_of(url, tmp_path / "download"), whole)
    rows = [json.loads(line)["step"] for line in (tmp_path / "download/metrics.jsonl").read_text().splitlines()]
    assert rows == sorted(set(rows))
    assert rows[-1] == 6
    assert len(list((tmp_path / "download/checkpoints").iterdir())) == 2
    assert list((tmp_path / "download/best").iterdir())
    assert [p.stem[-1] for p in sorted((tmp_path / "download/samples").iterdir())] == ["0", "3", "4", "6"]

    home = machine()
    assert ganzoo.load(url).sample(2, seed=0).equal(ganzoo.load(tmp_path / "download").sample(2, seed=0))
    assert len(list(home.rglob("model.safetensors"))) == 1  # no more than was needed
    assert ganzoo_cli("evaluate", url, "--metrics", "coverage", "--samples", 300).code == 0
    machine()
    listed = ganzoo_cli("runs", storage, "--json")
    (row,) = json.loads(listed.out)
    assert (row["name"], row["step"], row["complete"]) == ("run", 6, True)
    assert "coverage" in row["figures"]
    assert ganzoo_cli("compare", url).code == 0
    assert not list(machine().rglob("*.safetensors"))
    assert ganzoo_cli("film", url, "--out", tmp_path / "a.gif").code == 0
    assert f"{url} deleted" in ganzoo_cli("runs", "--delete", url, "--yes").out
    assert not RemoteFolder(url).files()


class Failing:
    """Uploads and deletions that fail, like those of a machine that has died, from number `event` on."""

    def __init__(self, event: int, monkeypatch: pytest.MonkeyPatch, after: str | None = None):
        self.left, self.after = event, after
        put, delete = RemoteFolder.put, RemoteFolder.delete
        monkeypatch.setattr(
            RemoteFolder, "put", lambda folder, source, name: (self.count(name), put(folder, source, name))
        )
        monkeypatch.setattr(
            RemoteFolder, "delete", lambda folder, names: [(self.count(name), delete(folder, [name])) for name in names]
        )

    def count(self, name: str) -> None:
        if self.after is not None:
            self.after = None if name == self.after else self.after
            return
        self.left -= 1
        if self.left < 0:
            raise StorageError("the network is gone")


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_any_upload_the_run_is_whole_or_absent(
    every: int, storage: str, machine: Machine, whole: dict[str, Any], tmp_path: Path
) -> None:
    for event in itertools.count(0, every):
        url = f"{storage}/{event}"
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(event, patch)
            with contextlib.suppress(StorageError):
                ganzoo.train("vanilla", out=url, **OPTIONS, **SCHEDULE)
            machine()
        if failing.left >= 0:
            break
        if Run.exists(url):
            assert checkpoint.step_of(next((Run.open(url).checkpoint_dir()).glob("step-*"))) in (0, 2, 4, 6)
        ganzoo.train("vanilla", out=url, autoresume=True, **OPTIONS, **SCHEDULE)
        assert_same(state_of(url, tmp_path / "download"), whole)
        machine()
    assert event >= 20


def train_and_die(event: int | None, url: str) -> None:
    """Train, and kill the process at upload or deletion number `event`."""
    events = itertools.count()

    def counted(method: Any) -> Any:
        def call(*arguments: Any) -> Any:
            if next(events) == event:
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments)

        return call

    RemoteFolder.put, RemoteFolder.delete = counted(RemoteFolder.put), counted(RemoteFolder.delete)  # type: ignore[method-assign]
    ganzoo.train("vanilla", out=url, autoresume=True, **OPTIONS, **SCHEDULE)


def environment() -> dict[str, str]:
    """What a new process must know of the storage and of this machine's data folder."""
    return {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "XDG_"))}


@pytest.mark.parametrize("every", [100, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [pytest.param("file", marks=pytest.mark.slow), "s3"])
def test_a_process_killed_at_an_upload_continues_on_this_machine(
    kind: str, every: int, request: pytest.FixtureRequest, machine: Machine, whole: dict[str, Any], tmp_path: Path
) -> None:
    storage = request.getfixturevalue("bucket") + "/here" if kind == "s3" else f"file://{tmp_path}/storage"
    for event in itertools.count(12, every):
        url = f"{storage}/{event}"
        if (code := join(start(train_and_die, event, url, **environment()))) == 0:
            break
        assert code == -signal.SIGKILL
        assert join(start(train_and_die, None, url, **environment())) == 0
        assert_same(state_of(url, tmp_path / "download"), whole)
        if every == 100:
            break


def test_a_lost_network_is_a_note_and_an_error_and_the_copy_is_uploaded_later(
    storage: str, machine: Machine, whole: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{storage}/run"
    notes: list[str] = []

    class Notes(ganzoo.Callback):
        def on_note(self, text: str) -> None:
            notes.append(text)

    with pytest.MonkeyPatch.context() as patch:
        Failing(0, patch, after="config.json")
        with pytest.raises(StorageError, match="Nothing is lost") as error:
            ganzoo.train("vanilla", out=url, callbacks=[Notes()], **OPTIONS, **SCHEDULE)
    assert str(error.value).endswith(f"and this uploads it: ganzoo train --resume {url}")
    assert len([note for note in notes if "every checkpoint tries again" in note]) == 1
    ganzoo.train(resume=url)  # nothing is left to train
    assert_same(state_of(url, tmp_path / "download"), whole)


def test_a_run_that_never_reached_the_storage_is_not_lost(
    machine: Machine, whole: dict[str, Any], tmp_path: Path
) -> None:
    url = f"memory://{tmp_path.name}/never"
    with pytest.MonkeyPatch.context() as patch:
        Failing(0, patch)
        with pytest.raises(StorageError, match="network is gone"):
            ganzoo.train("vanilla", out=url, **OPTIONS, **{**SCHEDULE, "checkpoint_every": 100})
    assert not RemoteFolder(url).files()
    ganzoo.train(resume=url)
    assert_same(state_of(url, tmp_path / "download"), whole)


def test_a_new_run_does_not_touch_the_copy_of_one_that_was_deleted(machine: Machine, tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/again"
    first = ganzoo.train("vanilla", out=url, **OPTIONS, **SCHEDULE)
    with pytest.raises(UsageError, match="is not empty"):
        ganzoo.train("vanilla", out=url, **OPTIONS, **SCHEDULE)
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}/again", recursive=True)
    with pytest.raises(UsageError, match="is not a run"):
        ganzoo.load(url)
    second = ganzoo.train("vanilla", out=url, seed=1, **OPTIONS, **SCHEDULE)
    assert second.path == first.path
    assert Run.open(f"{first.path}~1").config["seed"] == 0


def test_files_that_the_training_deletes_during_an_upload_are_no_failure(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    visible, url = remote._visible, f"memory://{tmp_path.name}/pruned"
    monkeypatch.setattr(remote, "_visible", lambda folder: [*visible(folder), "checkpoints/step-00000001/state.pt"])
    ganzoo.train("vanilla", out=url, **OPTIONS, **SCHEDULE)
    assert_same(state_of(url, tmp_path / "download"), whole)


def test_two_machines_that_train_one_run_are_told(machine: Machine, tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/both"

    class Elsewhere(ganzoo.Callback):
        def on_step(self, step: int, seconds: float) -> None:
            if step == 3:
                fsspec.filesystem("memory").pipe_file(
                    f"/{tmp_path.name}/both/checkpoints/step-00000009/manifest.json", b"{}"
                )

    with pytest.raises(StorageError, match=r"another machine, which has written .*step-00000009"):
        ganzoo.train("vanilla", out=url, callbacks=[Elsewhere()], **OPTIONS, **SCHEDULE)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(
    machine: Machine, whole: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url, fs = f"memory://{tmp_path.name}/damaged", fsspec.filesystem("memory")
    ganzoo.train("vanilla", out=url, **OPTIONS, **SCHEDULE)
    fs.pipe_file(f"/{tmp_path.name}/damaged/checkpoints/step-00000006/state.pt", b"damaged")
    machine()
    ganzoo.load(url)
    assert "step-00000006/state.pt is damaged" in caplog.text
    machine()
    ganzoo.train(resume=url)
    assert_same(state_of(url, tmp_path / "download"), whole)


@pytest.mark.parametrize("name", ["../outside", "checkpoints/step-00000006/../../../outside", "notes.txt"])
def test_only_files_of_a_run_are_fetched(name: str, machine: Machine, tmp_path: Path) -> None:
    url, fs = f"memory://{tmp_path.name}/run", fsspec.filesystem("memory")
    ganzoo.train("vanilla", out=url, **OPTIONS, **SCHEDULE)
    fs.store[f"/{tmp_path.name}/run/{name}"] = fs.store[f"/{tmp_path.name}/run/config.json"]
    home = machine()
    ganzoo.load(url)
    assert not [path for path in home.rglob("*") if path.name == Path(name).name]


def test_errors_of_storage_are_one_message(
    bucket: str, machine: Machine, ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", "vanilla", "--dataset", "digits", "--steps", 2, "--out")
    cases = {
        "s3://no-such-bucket/run": (1, "there is no s3://no-such-bucket, or it is not yours to see"),
        "s3://Not_a_Bucket!/run": (1, "Invalid bucket name"),
        "s3://": (2, "s3:// names no bucket: expected s3://BUCKET/FOLDER."),
        "s3:///run": (2, "s3:///run names no bucket"),
        "gs://bucket/run": (2, "pip install 'ganzoo-core[gcs]'"),
        "nosuch://bucket/run": (2, "Protocol not known: nosuch"),
    }
    for url, (code, message) in cases.items():
        monkeypatch.setitem(sys.modules, "gcsfs", None)
        result = ganzoo_cli(*words, url)
        assert (result.code, result.err.count("\n")) == (code, 1), result.err
        assert message in result.err
    for command in (("sample",), ("evaluate",), ("train", "--resume")):
        assert f"{bucket}/none is not a run: it has no config.json." in ganzoo_cli(*command, f"{bucket}/none").err
    assert "There is nothing at s3://bucket/none" in ganzoo_cli("runs", f"{bucket}/none").err
    assert (
        "is a URL, and this must be"
        in ganzoo_cli("export", "x", "--out", "s3://bucket/a.onnx").err
        + ganzoo_cli("sweep", "vanilla", "--dataset", "digits", "--grid", "seed=1", "--out", "s3://bucket/a").err
    )
    with pytest.raises(UsageError, match="write a URL as text"):
        ganzoo.train("vanilla", dataset="digits", out=Path("s3://bucket/run"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert "Unable to locate credentials" in ganzoo_cli(*words, f"{bucket}/run").err
    assert not list(tmp_path.glob("machine-*"))  # nothing was written


def die_now_and_then(url: str, options: dict[str, Any], spare: int) -> None:
    from ganzoo.training import checkpoint_writer

    checkpoint_writer.SPARE = spare
    ganzoo.train("vanilla", out=url, autoresume=True, **OPTIONS, **options)


@pytest.mark.slow
@pytest.mark.parametrize("spare", [0, 1 << 60], ids=["beside", "waiting"])
@pytest.mark.parametrize("kind", ["directory", "file", "s3"])
def test_thirty_kills_at_random_moments(
    kind: str, spare: int, request: pytest.FixtureRequest, machine: Machine, tmp_path: Path
) -> None:
    """In a directory and on object storage, with checkpoints written beside the training or while it waits."""
    kills = int(os.environ.get("GANZOO_KILLS", "30"))
    options = {"steps": 150, "checkpoint_every": 2, "sample_every": 9}
    assert join(start(die_now_and_then, str(tmp_path / "whole"), options, spare, **environment())) == 0
    places = {"directory": str(tmp_path), "file": f"file://{tmp_path}/storage", "s3": ""}
    url = (places[kind] or request.getfixturevalue("bucket")) + f"/killed-{spare}"
    chance = random.Random(spare)
    for kill in range(kills):
        if kill % 3 == 2:
            machine()
        process = start(die_now_and_then, url, options, spare, **environment())
        process.join(chance.uniform(0.05, 1.5))
        process.kill()
        process.join()
    assert join(start(die_now_and_then, url, options, spare, **environment())) == 0
    found = last_state(Path(url)) if kind == "directory" else state_of(url, tmp_path / "download")
    assert_same(found, last_state(tmp_path / "whole"))
