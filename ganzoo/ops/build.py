"""Finds the native kernels, or compiles them on first use where they were not built ahead of time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import torch

from ganzoo.core.files import lock
from ganzoo.ops import recipe


class BuildError(Exception):
    """Why there are no native kernels here, as a clause."""


def ahead_of_time(name: str = "_C") -> Path | None:
    """The binary called `name` that setup.py built into the package; None where it built none."""
    return next(iter(sorted(Path(__file__).resolve().parents[1].glob(f"{name}*.so"))), None)


def on_first_use() -> Path:
    """The binary compiled on this machine, now or earlier; raises `BuildError`.

    It is kept in the user's cache under the sha256 of sources, flags, torch and compiler, and appears complete or not
    at all. Of several processes one compiles and the others wait; a killed one leaves nothing that would stop the next.
    """
    folder = recipe.source_folder()
    if folder is None:
        raise BuildError("the C++ sources are not installed")
    if sys.platform == "win32":
        raise BuildError("the kernels are built by GCC or Clang, on Linux and macOS")
    compiler = _compiler()
    try:
        version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as why:
        raise BuildError(f"the C++ compiler {compiler[0]} does not run ({why})") from why
    key = hashlib.sha256("\0".join((recipe.digest(folder), torch.__version__, version, *compiler)).encode()).hexdigest()
    binary = cache() / f"{key[:32]}.so"
    with once(binary) as scratch:
        if scratch is not None:
            _compile(compiler, folder, scratch, binary)
    return binary


def cache() -> Path:
    """Where what is compiled on first use is kept."""
    return platformdirs.user_cache_path("ganzoo") / "ops"


@contextlib.contextmanager
def once(binary: Path) -> Iterator[Path | None]:
    """A scratch folder to make `binary` in, one process at a time; None where it is there. May raise BuildError."""
    if binary.exists():  # before the lock, which a cache that can only be read has no place for
        yield None
        return
    try:
        binary.parent.mkdir(parents=True, exist_ok=True)
        with lock(binary.with_suffix(".lock")):
            if binary.exists():
                yield None
            else:
                with tempfile.TemporaryDirectory(
                    prefix=".build-", dir=binary.parent, ignore_cleanup_errors=True
                ) as scratch:
                    yield Path(scratch)
    except OSError as why:
        raise BuildError(f"the cache {binary.parent} cannot be written ({why.strerror or why})") from why


def tell(what: str) -> None:
    """Says on stderr that `what` is being compiled: it takes a while."""
    print(f"ganzoo: compiling {what}, once; this takes some seconds ...", file=sys.stderr, flush=True)


def _compiler() -> list[str]:
    """The command of the C++ compiler: CXX, as everywhere, else the first of the usual names."""
    named = shlex.split(os.environ.get("CXX", ""))
    found = shutil.which(named[0]) if named else next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if found is None:
        raise BuildError(f"the C++ compiler CXX={named[0]} is not there" if named else "there is no C++ compiler")
    return [found, *named[1:]]


def _compile(compiler: list[str], folder: Path, scratch: Path, binary: Path) -> None:
    tell("the native kernels")
    home = Path(torch.__file__).parent
    made = scratch / binary.name
    command = [
        *compiler, *recipe.COMPILE, recipe.definition(folder), *recipe.LINK, f"-I{home / 'include'}",
        *map(str, recipe.sources(folder)), "-o", str(made), f"-L{home / 'lib'}",
        *(f"-l{name}" for name in recipe.LIBRARIES),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise BuildError(f"the C++ compiler failed: {lines[0] if lines else f'exit code {done.returncode}'}")
    os.replace(made, binary)
