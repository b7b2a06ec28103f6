"""The C++ kernels of csrc/: loading them, and what torch must know about their operations.

Loaded with the first use, once. The operations are `torch.ops.ganzoo.*`; their schemas are in csrc/ops.cpp, their fake
kernels and derivatives in `ganzoo.ops.derivatives`. What is not an operation (instruction set, build info, peak) is
reached through ctypes: the binary has no Python module in it and so serves every Python version.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.autograd import forward_ad

from ganzoo.core.errors import GanzooError
from ganzoo.ops import build, recipe

INSTRUCTION_SETS = ("avx512", "avx2", "generic")


class NativeError(GanzooError, RuntimeError):
    """The native kernels were asked for by name, and cannot serve; says why."""


@dataclass(frozen=True)
class Loaded:
    """The binary in use, how it came to be, and why not if there is none."""

    library: ctypes.CDLL | None
    path: Path | None
    how: str


_lock = threading.Lock()
_loaded: Loaded | None = None


def loaded() -> Loaded:
    """The binary, loaded on the first call: built ahead of time if it is of these sources, else compiled now."""
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = _load()
    return _loaded


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def unavailable() -> str | None:
    """Why there are no native kernels in this process; None where there are."""
    state = loaded()
    return state.how if state.library is None else None


def instruction_set() -> str | None:
    """ "avx512", "avx2" or "generic", the one the kernels run with; None without kernels."""
    library = loaded().library
    return None if library is None else library.ganzoo_instruction_set().decode()


def choose_instruction_set(name: str | None) -> None:
    """Run with `name` from INSTRUCTION_SETS from now on, in every thread; None is the best this machine has.

    For tests and comparisons. Raises NativeError where this machine or this build lacks it.
    """
    library = loaded().library
    if library is None:
        raise NativeError(f"There are no native kernels: {loaded().how}.")
    if not library.ganzoo_choose((name or "").encode()):
        raise NativeError(f"This machine cannot run the kernels for {name!r}.")


def fma_operations(rounds: int) -> float:
    """Runs `rounds` of a loop of nothing but multiply-adds in registers on every thread; returns how many operations.

    Divided by the time it took it is the peak that a kernel's speed is to be compared with.
    """
    library = loaded().library
    if library is None:
        raise NativeError(f"There are no native kernels: {loaded().how}.")
    return float(library.ganzoo_fma_loop(rounds))


def undifferentiated(operation: Any, *arguments: Any) -> Any:
    """`operation` past its derivatives, which are Python and take their time even where nobody wants them."""
    if torch.compiler.is_compiling():
        return operation(*arguments)
    with torch._C._AutoDispatchBelowAutograd():
        return operation(*arguments)


def transformed() -> str | None:
    """Why the kernels cannot serve here: without rules for functorch and forward-mode AD, tangents would be lost."""
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
        return "torch.func and forward-mode AD need PyTorch's own operations"
    return None


def _load() -> Loaded:
    reasons = []
    path = build.ahead_of_time()
    folder = recipe.source_folder()
    if path is not None:
        try:
            # read, not loaded: two binaries that register the same operations cannot live in one process
            if folder is None or recipe.digest(folder).encode() in path.read_bytes():
                return _register(path, _open(path), "built at installation")
            reasons.append("the binary built at installation is of other sources")
        except OSError as why:
            reasons.append(f"the binary built at installation does not load ({why})")
    try:
        path = build.on_first_use()
        return _register(path, _open(path), "compiled on first use")
    except (build.BuildError, OSError) as why:
        return Loaded(None, None, "; ".join([*reasons, str(why)]))


def _open(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.ganzoo_instruction_set.restype = ctypes.c_char_p
    library.ganzoo_choose.argtypes = [ctypes.c_char_p]
    library.ganzoo_fma_loop.argtypes = [ctypes.c_int64]
    library.ganzoo_fma_loop.restype = ctypes.c_double
    return library


def _register(path: Path, library: ctypes.CDLL, how: str) -> Loaded:
    from ganzoo.ops import derivatives

    torch.ops.load_library(str(path))
    derivatives.register()
    return Loaded(library, path, how)
