"""Compilation on first use, and the reasons given if nothing can be compiled."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganzoo.ops import build_config
from ganzoo.ops.build_config import CPU, BuildError
from ganzoo.ops.cpu_library import LIBRARY

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))) or sys.platform == "win32", reason="no C++ compiler"
)

# A fake compiler: writes an output file after the delay that a test sets.
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
FIRST_USE = "from ganzoo.ops.cpu_library import LIBRARY; print(LIBRARY.compile_on_first_use())"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    return tmp_path / "cache" / "ganzoo" / "ops"


def compiler(folder: Path, seconds: float = 0) -> tuple[Path, Path]:
    """A fake compiler and its log, a line for each compilation."""
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
    binary = LIBRARY.compile_on_first_use()
    assert binary.parent == cache
    assert binary.read_text() == "a library"
    assert "compiling the native kernels" in capfd.readouterr().err
    assert LIBRARY.compile_on_first_use() == binary
    assert capfd.readouterr().err == ""
    assert log.read_text() == "compiling\n"
    lock = binary.with_suffix(".lock")
    lock.unlink()
    lock.mkdir()  # as in a read-only cache, the lock cannot be taken
    assert LIBRARY.compile_on_first_use() == binary
    monkeypatch.setattr(CPU, "compile_flags", (*CPU.compile_flags, "-DOTHER"))
    assert LIBRARY.compile_on_first_use() != binary


@pytest.mark.skipif(sys.platform != "linux", reason="the cache is moved through XDG_CACHE_HOME")
def test_only_one_of_several_processes_compiles(tmp_path: Path) -> None:
    path, log = compiler(tmp_path / "bin", seconds=1)
    processes = [first_use(tmp_path, path) for _ in range(2)]
    results = {process.communicate()[0] for process in processes}
    assert len(results) == 1
    assert log.read_text() == "compiling\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the cache is moved through XDG_CACHE_HOME")
def test_a_killed_compilation_is_repeated(tmp_path: Path) -> None:
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


def test_reasons_why_nothing_can_be_compiled(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BuildError, match="CXX=no-such-compiler does not exist"):
        LIBRARY.compile_on_first_use()
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(build_config.shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match=r"there is no C\+\+ compiler"):
        LIBRARY.compile_on_first_use()
    monkeypatch.undo()
    monkeypatch.setattr(build_config, "source_folder", lambda: None)
    with pytest.raises(BuildError, match="sources are not installed"):
        LIBRARY.compile_on_first_use()


def test_a_failing_compiler_is_quoted(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fails"
    path.write_text("#!/bin/sh\ncase $1 in --version) exit 0;; esac\necho 'ops.cpp:1: error: no space' >&2; exit 1\n")
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    with pytest.raises(BuildError, match=r"failed: ops.cpp:1: error: no space"):
        LIBRARY.compile_on_first_use()
    assert not list(cache.glob("*.so"))


def test_a_binary_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    if LIBRARY.ahead_of_time() is None:
        pytest.skip("nothing was built at installation")
    monkeypatch.setattr(type(CPU), "digest", lambda self, csrc: "another")
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(LIBRARY, "_open", lambda *_: pytest.fail("loading it would register its operators"))
    loaded = LIBRARY.find()
    assert loaded.library is None
    assert loaded.status == (
        "the native kernels built at installation are from other sources; "
        "the C++ compiler CXX=no-such-compiler does not exist"
    )


def test_a_binary_that_does_not_load_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csrc = build_config.source_folder()
    assert csrc is not None
    (tmp_path / "_C.so").write_text(CPU.digest(csrc))
    monkeypatch.setattr(LIBRARY, "ahead_of_time", lambda: tmp_path / "_C.so")
    monkeypatch.setenv("CXX", "no-such-compiler")
    loaded = LIBRARY.find()
    assert loaded.library is None
    assert "built at installation do not load" in loaded.status


def test_setup_reads_the_build_config_without_torch_and_ganzoo() -> None:
    """Both are blocked, as in pip's isolated builds."""
    code = """
import runpy, sys
sys.modules["torch"] = sys.modules["ganzoo"] = None
sources = runpy.run_path("ganzoo/ops/build_config.py")["CPU"].sources(__import__("pathlib").Path("csrc"))
print(*[path.as_posix() for path in sources])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert "csrc/torch/cpu/convolution.cpp" in done.stdout.split()
    assert "cuda" not in done.stdout


@needs_compiler
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the cache is moved through XDG_CACHE_HOME")
def test_the_real_compiler_builds_kernels_that_compute(tmp_path: Path) -> None:
    code = """
import torch
from ganzoo.ops.cpu_library import LIBRARY
LIBRARY.ahead_of_time = lambda: None
assert LIBRARY.load().status == "compiled on first use", LIBRARY.loaded
weight = torch.ones(1, 1, 4, 4)
print(torch.ops.ganzoo.conv_transpose4x4s2(torch.ones(1, 1, 1, 1), weight, None, None, None, 1.0, 2, 2).sum().item())
"""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == "4.0\n", done.stderr
