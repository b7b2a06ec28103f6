"""Compiles csrc/cpu with module.cpp into a Python module of the kernels alone, without torch."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import filelock
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "kernels-module"  # kept, so that later sessions compile only what has changed
MODULE = "ganzoo_kernels"
FLAGS = "-std=c++17 -O3 -fPIC -ffp-contract=fast -fvisibility=hidden -Wno-psabi"  # those of a release

# Paths of build files escape "$", ":" and " "; the compiler's report of the headers it read goes to a depfile.
RULES = """
rule compile
  command = $cxx $flags -MMD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
rule link
  command = $cxx $link $in -o $out
"""


def compiler() -> str:
    """The C++ compiler's command: CXX if set, otherwise the first of the usual names; skips the test without one."""
    if named := os.environ.get("CXX"):
        command = named if shutil.which(shlex.split(named)[0]) else None
    else:
        command = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if command is None or sys.platform == "win32":
        pytest.skip("there is no C++ compiler")
    return command


def escaped(path: object) -> str:
    return str(path).replace("$", "$$").replace(":", "$:").replace(" ", "$ ")


def release_objects() -> dict[Path, Path]:
    """Objects of csrc/cpu that setup.py has compiled from the present sources, by source."""
    sources = [path for path in (ROOT / "csrc" / "cpu").rglob("*") if path.is_file()]
    newest = max(path.stat().st_mtime for path in sources)
    objects = {}
    for path in sources:
        for compiled in ROOT.glob(f"build/temp.*/{path.relative_to(ROOT).with_suffix('.o')}"):
            if path.suffix == ".cpp" and compiled.stat().st_mtime > newest:
                objects[path] = compiled
    return objects


def build_file(variables: Mapping[str, str], sources: list[Path], target: Path) -> str:
    """The text of a build.ninja that links the objects of `sources` into `target`."""
    lines = [f"{name} = {value}" for name, value in variables.items()] + [RULES]
    objects = []
    ready = release_objects()
    for path in sources:
        objects.append(escaped(ready.get(path, f"{path.relative_to(ROOT)}.o")))
        if path not in ready:
            lines.append(f"build {objects[-1]}: compile {escaped(path)}")
    return "\n".join([*lines, f"build {escaped(target.name)}: link {' '.join(objects)}", ""])


def compiled() -> Path:
    """The path of the up-to-date module; skips the test if a tool is missing."""
    pybind11 = pytest.importorskip("pybind11", reason="pybind11 is not installed")
    cxx, ninja = compiler(), shutil.which("ninja")
    if ninja is None and importlib.util.find_spec("ninja"):
        import ninja as package

        ninja = str(Path(package.BIN_DIR) / "ninja")
    if ninja is None:
        pytest.skip("ninja is not installed")
    include = (pybind11.get_include(), sysconfig.get_path("include"))
    variables = {
        "cxx": cxx,
        "flags": " ".join([FLAGS, *(f"-isystem {shlex.quote(path)}" for path in include)]),
        "link": "-shared -pthread" + (" -undefined dynamic_lookup" if sys.platform == "darwin" else ""),
    }
    target = FOLDER / f"{MODULE}{sysconfig.get_config_var('EXT_SUFFIX')}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(FOLDER / "lock"):
        sources = [*sorted((ROOT / "csrc" / "cpu").rglob("*.cpp")), Path(__file__).with_name("module.cpp")]
        (FOLDER / "build.ninja").write_text(build_file(variables, sources, target))
        done = subprocess.run([ninja, "-C", str(FOLDER)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return target


@pytest.fixture(scope="session")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE, compiled())
    assert spec is not None
    assert spec.loader is not None
    kernels = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kernels)
    return kernels


@pytest.fixture(params=["avx512", "avx2", "generic"])
def kernels(module: ModuleType, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The module with one instruction set selected; skips those that this processor lacks."""
    if not module.select_instruction_set(request.param):
        pytest.skip(f"this processor has no {request.param}")
    assert module.instruction_set() == request.param
    yield module
    module.select_instruction_set(None)
