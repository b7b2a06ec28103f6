"""Compilation on first use, and what happens where nothing can be compiled."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganzoo.ops import build, native, recipe

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))) or sys.platform == "win32", reason="no C++ compiler"
)

# What a compiler that takes its time and writes a library would do, without the time it takes.
COMPILER = """#!{python}
import pathlib, sys, time
if "--version" in sys.argv:
    sys.exit(print("fake 1.0"))
log = pathlib.Path({log!r})
with log.open("a") as lines:
    print("compiling", file=lines)
time.sleep(float({seconds}))
pathlib.Path(sys.argv[sys.argv.index("-o") + 1]).write_text("a library")
"""
FIRST_USE = "from ganzoo.ops import build; print(build.on_first_use())"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(build.platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "ganzoo" / "ops"


def compiler(folder: Path, seconds: float = 0) -> tuple[Path, Path]:
    """A fake compiler and the file in which it counts its compilations."""
    folder.mkdir(exist_ok=True)
    path, log = folder / "fake-c++", folder / "log"
    path.write_text(COMPILER.format(python=sys.executable, log=str(log), seconds=seconds))
    path.chmod(0o755)
    return path, log


def first_use(tmp_path: Path, path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "CXX": str(path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", FIRST_USE], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_a_binary_is_compiled_once_and_kept(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path, log = compiler(tmp_path / "bin")
    monkeypatch.setenv("CXX", str(path))
    binary = build.on_first_use()
    assert binary.parent == cache
    assert binary.read_text() == "a library"
    assert "compiling the native kernels" in capfd.readouterr().err
    assert build.on_first_use() == binary
    assert capfd.readouterr().err == ""
    assert log.read_text() == "compiling\n"
    lock = binary.with_suffix(".lock")
    lock.unlink()
    lock.mkdir()  # as in a cache that can only be read, no lock can be had
    assert build.on_first_use() == binary
    monkeypatch.setattr(recipe, "COMPILE", (*recipe.COMPILE, "-DOTHER"))
    assert build.on_first_use() != binary


@pytest.mark.skipif(sys.platform != "linux", reason="the cache is moved through XDG_CACHE_HOME")
def test_of_processes_that_start_together_one_compiles(tmp_path: Path) -> None:
    path, log = compiler(tmp_path / "bin", seconds=1)
    processes = [first_use(tmp_path, path) for _ in range(2)]
    results = {process.communicate()[0] for process in processes}
    assert len(results) == 1
    assert log.read_text() == "compiling\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the cache is moved through XDG_CACHE_HOME")
def test_a_killed_compilation_is_done_again(tmp_path: Path) -> None:
    path, log = compiler(tmp_path / "bin", seconds=30)
    process = first_use(tmp_path, path)
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    compiler(tmp_path / "bin")
    out, err = first_use(tmp_path, path).communicate(timeout=20)
    assert Path(out.strip()).read_text() == "a library", err


def test_why_nothing_can_be_compiled(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.BuildError, match="CXX=no-such-compiler is not there"):
        build.on_first_use()
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(build.BuildError, match=r"there is no C\+\+ compiler"):
        build.on_first_use()
    monkeypatch.undo()
    monkeypatch.setattr(recipe, "source_folder", lambda: None)
    with pytest.raises(build.BuildError, match="sources are not installed"):
        build.on_first_use()


def test_a_failing_compiler_is_quoted(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fails"
    path.write_text("#!/bin/sh\ncase $1 in --version) exit 0;; esac\necho 'ops.cpp:1: error: no space' >&2; exit 1\n")
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    with pytest.raises(build.BuildError, match=r"failed: ops.cpp:1: error: no space"):
        build.on_first_use()
    assert not list(cache.glob("*.so"))


def test_a_binary_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if build.ahead_of_time() is None:
        pytest.skip("nothing was built at installation")
    monkeypatch.setattr(recipe, "digest", lambda folder: "another")
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(native, "_open", lambda path: pytest.fail("loading it would register its operations"))
    state = native._load()
    assert state.library is None
    assert "of other sources" in state.how
    assert "CXX=no-such-compiler" in state.how


@needs_compiler
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the cache is moved through XDG_CACHE_HOME")
def test_the_real_compiler_builds_kernels_that_compute(tmp_path: Path) -> None:
    code = """
import torch
from ganzoo.ops import build, native
build.ahead_of_time = lambda: None
assert native.loaded().how == "compiled on first use", native.loaded()
weight = torch.ones(1, 1, 4, 4)
print(torch.ops.ganzoo.up(torch.ones(1, 1, 1, 1), weight, None, None, None, 1.0, 2, 2).sum().item())
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "4.0\n", done.stderr
