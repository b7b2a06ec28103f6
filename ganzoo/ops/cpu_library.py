"""The C++ kernels of csrc/cpu: which instruction set they run with, and calls that are not torch operators.

The operators are `torch.ops.ganzoo.*`, with schemas in csrc/torch/cpu and fakes and derivatives in the modules of
`ganzoo.ops`. Everything else goes through ctypes, so the binary contains no Python module and serves every Python.
"""

from __future__ import annotations

import ctypes

from ganzoo.ops import autograd, build_config
from ganzoo.ops.backend import NativeError
from ganzoo.ops.constant_results import assume_constant_result
from ganzoo.ops.library import Library

INSTRUCTION_SETS = ("avx512", "avx2", "generic")

LIBRARY = Library(
    build_config.CPU,
    {
        "ganzoo_instruction_set": (ctypes.c_char_p, []),
        "ganzoo_choose": (ctypes.c_int, [ctypes.c_char_p]),
        "ganzoo_has_bfloat16": (ctypes.c_int, []),
        "ganzoo_fma_loop": (ctypes.c_double, [ctypes.c_int64]),
    },
    on_load=autograd.register,
)


@assume_constant_result
def unavailable_reason() -> str | None:
    """Why there are no native kernels in this process; None if there are."""
    loaded = LIBRARY.loaded or LIBRARY.load()
    return loaded.status if loaded.library is None else None


def instruction_set() -> str | None:
    """The instruction set in use: "avx512", "avx2" or "generic"; None without kernels."""
    library = LIBRARY.load().library
    return None if library is None else library.ganzoo_instruction_set().decode()


@assume_constant_result
def has_bfloat16() -> bool:
    """Whether there are kernels for bfloat16: the instruction set in use has products of it (AVX512_BF16)."""
    library = (LIBRARY.loaded or LIBRARY.load()).library
    return library is not None and bool(library.ganzoo_has_bfloat16())


def choose_instruction_set(name: str | None) -> None:
    """Use `name` from INSTRUCTION_SETS from now on, in every thread; None selects the best of this machine.

    For tests and comparisons. Raises NativeError if this machine or this build lacks it.
    """
    if not _library().ganzoo_choose((name or "").encode()):
        raise NativeError(f"This machine cannot run the kernels for {name!r}.")


def fma_operations(rounds: int) -> float:
    """Run `rounds` of a loop of multiply-adds in registers on every thread; returns the number of operations.

    Divided by the time it took, this is the peak to compare a kernel's speed with.
    """
    return float(_library().ganzoo_fma_loop(rounds))


def _library() -> ctypes.CDLL:
    loaded = LIBRARY.load()
    if loaded.library is None:
        raise NativeError(f"There are no native kernels: {loaded.status}.")
    return loaded.library
