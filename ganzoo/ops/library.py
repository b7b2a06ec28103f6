"""One binary of kernels in this process: found, or compiled on first use, and loaded once."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ganzoo.core import paths
from ganzoo.core.files import lock
from ganzoo.ops import build_config
from ganzoo.ops.build_config import BuildError, CpuRecipe

Signature = tuple[Any, list[Any]]
"""Result and argument types of a C function, as ctypes has them."""


@dataclass(frozen=True)
class Loaded:
    """The binary in use and where it comes from; without one, `status` says why."""

    library: ctypes.CDLL | None
    path: Path | None
    status: str


class Library:
    """A binary of kernels, loaded at most once per process.

    The binary that setup.py built into the package is used if it is from the present sources, else one is compiled
    into the user's cache. `signatures` declares its C functions, `inapplicable_reason` tells why this process cannot
    use it at all, `on_load` runs once after loading.
    """

    def __init__(
        self,
        recipe: CpuRecipe,
        signatures: Mapping[str, Signature],
        inapplicable_reason: Callable[[], str | None] = lambda: None,
        on_load: Callable[[], None] = lambda: None,
    ):
        self.recipe = recipe
        self.loaded: Loaded | None = None
        self._signatures, self._inapplicable_reason, self._on_load = signatures, inapplicable_reason, on_load
        self._lock = threading.Lock()

    def load(self) -> Loaded:
        """The loaded binary; the first call may compile it."""
        if self.loaded is None:
            with self._lock:
                if self.loaded is None:
                    self.loaded = self.find()
        return self.loaded

    def find(self) -> Loaded:
        """Load the binary, compiling it if necessary; prefer `load`."""
        if (reason := self._inapplicable_reason()) is not None:
            return Loaded(None, None, reason)
        reasons = []
        path = self.ahead_of_time()
        if path is not None:
            built = f"{self.recipe.title} built at installation"
            try:
                # checked before loading: two binaries that register the same operators cannot be in one process
                mismatch = self.recipe.mismatch(path.read_bytes(), build_config.source_folder())
                if mismatch is None:
                    return self._open(path, "built at installation")
                reasons.append(f"{built} {mismatch}")
            except OSError as why:
                reasons.append(f"{built} do not load ({why})")
        try:
            return self._open(self.compile_on_first_use(), "compiled on first use")
        except (BuildError, OSError) as why:
            return Loaded(None, None, "; ".join([*reasons, str(why)]))

    def ahead_of_time(self) -> Path | None:
        """The binary that setup.py built into the package, or None."""
        package = Path(__file__).resolve().parents[1]
        return next(iter(sorted(package.glob(f"{self.recipe.name}*.so"))), None)

    def compile_on_first_use(self) -> Path:
        """The binary compiled on this machine, now or earlier. Raises BuildError.

        It is cached under the sha256 of sources, flags, torch and compiler, and appears complete or not at all. Of
        several processes one compiles and the others wait; a killed process leaves nothing that blocks the next.
        """
        recipe, csrc = self.recipe, build_config.source_folder()
        if csrc is None:
            raise BuildError(f"the {recipe.language} sources are not installed")
        tools = recipe.tools()
        key = hashlib.sha256(repr((recipe.digest(csrc), torch.__version__, tools)).encode()).hexdigest()
        target = cache_folder() / f"{recipe.name}-{key[:32]}.so"
        with _scratch_folder(target) as scratch:
            if scratch is not None:
                message = f"ganzoo: compiling {recipe.title}, once; this takes some seconds ..."
                print(message, file=sys.stderr, flush=True)
                recipe.build(csrc, scratch, target, tools)
        return target

    def _open(self, path: Path, status: str) -> Loaded:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in self._signatures.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        torch.ops.load_library(str(path))
        self._on_load()
        return Loaded(library, path, status)


def cache_folder() -> Path:
    """Where binaries compiled on first use are kept."""
    return paths.cache_folder() / "ops"


@contextlib.contextmanager
def _scratch_folder(target: Path) -> Iterator[Path | None]:
    """A folder to build `target` in, for one process at a time; None if `target` exists. May raise BuildError."""
    if target.exists():  # checked before locking, which a read-only cache does not allow
        yield None
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with lock(target.with_suffix(".lock")):
            if target.exists():
                yield None
            else:
                with tempfile.TemporaryDirectory(
                    prefix=".build-", dir=target.parent, ignore_cleanup_errors=True
                ) as scratch:
                    yield Path(scratch)
    except OSError as why:
        raise BuildError(f"the cache {target.parent} cannot be written ({why.strerror or why})") from why
