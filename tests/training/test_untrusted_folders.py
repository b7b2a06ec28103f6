"""Links, FIFOs, devices and sockets in a run; and the working directory as an unpacked archive."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

import ganzoo
from ganzoo import data
from ganzoo.core import registry
from ganzoo.core.errors import GanzooError
from ganzoo.core.files import write_text
from ganzoo.testing import card
from ganzoo.training import provenance
from ganzoo.training.run import Run
from tests.untrusted import newest, small_run

INSIDE = (
    "best", "checkpoints", "samples", "tensorboard", "metrics.jsonl", "evaluations.jsonl", "alarms.jsonl",
    "config.json", ".lock", "checkpoints/step-00000002", "samples/step-00000000.png", "samples/step-00000099.png",
    "tensorboard/events", "checkpoints/step-00000002/state.pt", "best/.writing-x",
)  # fmt: skip


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("pristine") / "run", steps=2)


@pytest.fixture
def run(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", INSIDE)
def test_training_refuses_a_link_where_it_writes(name: str, run: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere", run / name
    if link.is_dir():
        shutil.move(link, target)
    elif link.exists():
        link.rename(target)
    else:
        target.write_text("precious")
    link.symlink_to(target)
    before = contents(tmp_path)
    with pytest.raises(GanzooError, match=rf"{name} is a symbolic link, and ganzoo writes only to files inside"):
        ganzoo.train(resume=run, steps=3)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["evaluation", "evaluation.json", ".evaluation.json.lock", "evaluation/modes.png"])
def test_evaluating_refuses_a_link_where_it_writes(name: str, run: Path, tmp_path: Path) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(GanzooError, match="is a symbolic link"):
        ganzoo.evaluate(run, metrics=["modes"], samples=2500)
    assert not (tmp_path / "elsewhere").exists()


def test_a_run_behind_a_link_is_trained_and_sampled(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run, target_is_directory=True)
    ganzoo.train(resume=tmp_path / "link", steps=3)
    assert newest(run).name == "step-00000003"


def test_a_hard_link_changes_no_file_outside(run: Path, tmp_path: Path) -> None:
    outside = {}
    for name in ("metrics.jsonl", "config.json", "evaluations.jsonl"):
        os.link(run / name, tmp_path / name)
        outside[name] = (tmp_path / name).read_bytes()
    ganzoo.train(resume=run, steps=3)
    assert {name: (tmp_path / name).read_bytes() for name in outside} == outside


def test_a_lock_with_content_is_not_truncated(run: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (run / ".lock").unlink()
    os.link(tmp_path / "precious", run / ".lock")
    with pytest.raises(OSError, match="Not a lock"):
        ganzoo.train(resume=run, steps=3)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_link_in_place_of_a_temporary_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / f".file-{os.getpid()}").symlink_to(tmp_path / "precious")
    write_text(tmp_path / "file", "new")
    assert [(tmp_path / name).read_text() for name in ("precious", "file")] == ["precious", "new"]


@pytest.fixture(params=["fifo", "socket", "/dev/zero", "folder"])
def special(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A path to something that is not a regular file."""
    path = tmp_path / "s"
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    else:
        path.symlink_to(request.param)
    return path


def in_time(action: object, seconds: float = 60) -> BaseException | None:
    """What `action` raises; fails if it takes too long."""
    outcome: list[BaseException | None] = []

    def work() -> None:
        try:
            action()  # type: ignore[operator]
        except BaseException as failure:
            outcome.append(failure)
        else:
            outcome.append(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome, "it hangs"
    return outcome[0]


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "state.pt", "ema.safetensors"])
def test_what_is_no_regular_file_is_refused_at_once(name: str, run: Path, special: Path) -> None:
    shutil.rmtree(run / "checkpoints" / "step-00000000")
    path = run / name if name == "config.json" else newest(run) / name
    path.unlink()
    special.rename(path)
    failure = in_time(lambda: ganzoo.load(run, "cpu"))
    assert isinstance(failure, GanzooError)
    assert "ot a regular file" in str(failure)


def test_rows_and_results_that_are_no_regular_files_are_refused_at_once(run: Path, special: Path) -> None:
    opened = Run.open(run)
    opened.metrics_file.unlink()
    special.rename(opened.metrics_file)
    failure = in_time(opened.metrics)
    assert isinstance(failure, GanzooError)
    assert "ot a regular file" in str(failure)


def test_more_rows_than_any_training_writes_are_refused_at_once(run: Path) -> None:
    opened = Run.open(run)
    with opened.metrics_file.open("a") as file:
        file.write("\n" * 5_000_001)
    failure = in_time(opened.metrics)
    assert isinstance(failure, GanzooError)
    assert "it has more than 5,000,000 lines" in str(failure)


def test_what_is_no_regular_file_is_no_picture(special: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    special.rename(folder / "special.png")
    for i in range(2):
        Image.new("L", (8, 8), i).save(folder / f"{i}.png")
    assert in_time(lambda: check_count(folder, 2)) is None


def check_count(folder: Path, count: int) -> None:
    assert len(data.open(f"folder:{folder}", image_size=8)) == count


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init")
    (folder / "file").write_text("1")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "1")
    monkeypatch.chdir(folder)
    return folder


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")


@needs_git
def test_the_revision_says_whether_files_were_changed(repository: Path) -> None:
    revision = git(repository, "rev-parse", "--short", "HEAD").strip()
    assert provenance._git_revision() == revision
    (repository / "file").write_text("22")
    assert provenance._git_revision() == f"{revision}-dirty"


@needs_git
@pytest.mark.parametrize(
    "kind", ["core.fsmonitor", "core.hooksPath", "hook", "filter", "include", "core.pager", "submodule"]
)
def test_git_runs_nothing_from_the_repository(kind: str, repository: Path, tmp_path: Path) -> None:
    """For each kind `git describe --dirty`, or `git status`, would run the program."""
    program, proof = repository / ".git" / "program", tmp_path / "proof"
    program.write_text(f"#!/bin/sh\ntouch {proof}\ncat\n")
    program.chmod(0o755)
    if kind in ("hook", "core.hooksPath"):
        folder = repository / ".git" / ("hooks" if kind == "hook" else "other")
        folder.mkdir(exist_ok=True)
        shutil.copy(program, folder / "post-index-change")
        if kind != "hook":
            git(repository, "config", kind, str(folder))
    elif kind in ("filter", "include"):
        config = [] if kind == "filter" else ["-f", ".git/more"]
        git(repository, "config", *config, "filter.x.clean", str(program))
        if kind == "include":
            git(repository, "config", "include.path", "more")
        (repository / ".gitattributes").write_text("* filter=x\n")
    elif kind == "submodule":
        inner = repository / "inner"
        shutil.copytree(repository / ".git", tmp_path / "copy")
        inner.mkdir()
        shutil.move(tmp_path / "copy", inner / ".git")
        git(repository, "add", "inner")
        git(inner, "config", "core.fsmonitor", str(program))
        (repository / ".gitmodules").write_text('[submodule "inner"]\n\tpath = inner\n\turl = x\n\tignore = none\n')
    else:
        git(repository, "config", kind, str(program))
    os.utime(repository / "file", (1, 1))  # git must look into it
    proof.unlink(missing_ok=True)
    revision = provenance._git_revision()
    assert revision is not None
    assert not revision.endswith("-dirty")
    assert not proof.exists()


@pytest.mark.parametrize("start", ["console script", "-m", "ranks"])
def test_nothing_is_imported_from_the_working_directory(start: str, tmp_path: Path) -> None:
    plant_modules(tmp_path)
    script = Path(sys.executable).parent / "ganzoo"
    words = [str(script)] if script.is_file() and start != "-m" else [sys.executable, "-m", "ganzoo"]
    words += ["train", "vanilla", "--dataset", "ring", "--set", "batch_size=8"]
    words += ["--steps", "1", "--nproc", "2"] if start == "ranks" else ["--dry-run"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "proof").exists(), (tmp_path / "proof").read_text()


def test_the_check_of_a_card_imports_nothing_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_modules(tmp_path)
    monkeypatch.chdir(tmp_path)
    card.metadata.function(SimpleNamespace(card=registry.get_architecture("vanilla").card))
    assert not (tmp_path / "proof").exists(), (tmp_path / "proof").read_text()


def plant_modules(folder: Path) -> None:
    for name in ("click", "torch", "json", "numpy", "ganzoo_plugins", "sitecustomize", "tensorboard"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'proof')!r}, 'a').write({name!r})\n")
