"""The CUDA kernels of csrc/cuda: finding or building them, and which tensors they take.

They serve the operations of `ganzoo.ops.native` under torch's CUDA key, so derivatives and fakes are shared. Inputs are
float32, float16 or bfloat16, parameters float32; sums are float32. Float32 is multiplied as tf32 where
`torch.backends.cudnn.conv.fp32_precision` says so, and else to float32's precision by three tf32 products.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganzoo.ops import build, cuda_recipe, recipe
from ganzoo.ops.native import Loaded

KIND = "cuda"
IN_AUTO = False
"""Whether `auto` takes these kernels. They have not run on a GPU yet: until they have, only "native" does."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


_lock = threading.Lock()
_loaded: Loaded | None = None


def loaded() -> Loaded:
    """The CUDA kernels, loaded on the first call: built at installation if of these sources, else compiled now."""
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = _load()
    return _loaded


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def unavailable() -> str | None:
    """Why there are no CUDA kernels in this process, as a clause; None where there are."""
    state = loaded()
    if state.library is not None:
        state.library.ganzoo_cuda_allow_tf32(int(allows_tf32()))
        return None
    return state.how


def allows_tf32() -> bool:
    """Whether convolutions may be made of tf32 products; torch's older name for it cannot always be read."""
    cudnn: Any = torch.backends.cudnn
    return bool(cudnn.conv.fp32_precision == "tf32")


def takes(t: Tensor) -> bool:
    """Whether `t` is where these kernels compute."""
    return t.device.type == KIND


def unfit(x: Tensor, weight: Tensor, rest: list[Tensor], training: bool) -> str | None:
    """Why the CUDA kernels are not for these tensors, as a clause; None if they are."""
    places = sorted({str(t.device) for t in (x, weight, *rest)})
    if len(places) > 1:
        return f"the tensors are on different devices, {' and '.join(places)}: move them to one"
    if (card := _capability(x.device.type, x.device.index)) < cuda_recipe.OLDEST:
        return f"{x.device} has compute capability {card[0]}.{card[1]}, and they need 8.0"
    if any(t.layout != torch.strided for t in (x, weight, *rest)):
        return "they are for dense tensors"
    dtype = computed_in(x)
    if dtype not in DTYPES or x.dtype not in DTYPES:
        return f"they are for {', '.join(str(t).removeprefix('torch.') for t in DTYPES)}"
    if weight.dtype not in (torch.float32, dtype):
        return "the weight is neither float32 nor of the input's dtype"
    if any(t.dtype not in (torch.float32, torch.float32 if training else dtype) for t in rest):
        return "the batch norm is not in float32"
    return None


def computed_in(x: Tensor) -> torch.dtype:
    """The dtype in which a block computes: autocast's where there is one."""
    return torch.get_autocast_dtype(KIND) if torch.is_autocast_enabled(KIND) else x.dtype


def describe() -> str:
    """One line for people: what there is, or what is missing."""
    if torch.version.cuda is None:
        return "none: this torch is not built for CUDA"
    state = loaded()
    if state.library is None:
        return f"none: {state.how}"
    version = state.library.ganzoo_cuda_toolkit()
    built, runs = f"{version // 1000}.{version % 1000 // 10}", torch.version.cuda
    note = "" if built == runs else f"; built by CUDA {built}, torch by {runs}, which is no harm within a major version"
    return f"for {state.library.ganzoo_cuda_architectures().decode()}, {state.how} ({state.path}){note}"


def _load() -> Loaded:
    if torch.version.cuda is None:
        return Loaded(None, None, "this torch is not built for CUDA")
    fit = [card for card in cards() if card >= cuda_recipe.OLDEST]
    if cards() and not fit:
        return Loaded(None, None, "the GPUs here are older than compute capability 8.0")
    reasons = []
    path = build.ahead_of_time("_cuda")
    folder = recipe.source_folder()
    if path is not None:
        try:
            names = cuda_recipe.architectures_of(path.read_bytes(), folder)
            if names is not None and all(cuda_recipe.runs_on(names, card) for card in fit):
                return _register(path, _open(path), "built at installation")
            what = "of other sources" if names is None else f"not for all GPUs here, but for {' '.join(names)}"
            reasons.append(f"the CUDA kernels built at installation are {what}")
        except OSError as why:
            reasons.append(f"the CUDA kernels built at installation do not load ({why})")
    try:
        path = _on_first_use()
        return _register(path, _open(path), "compiled on first use")
    except (cuda_recipe.CudaBuildError, build.BuildError, OSError) as why:
        return Loaded(None, None, "; ".join([*reasons, str(why)]))


def _on_first_use() -> Path:
    """The shared object compiled for the GPUs here, now or earlier; kept as `build.on_first_use` keeps its own."""
    folder = recipe.source_folder()
    if folder is None:
        raise build.BuildError("the CUDA sources are not installed")
    names = cuda_recipe.architectures(cards())
    for major, minor in cards():
        if (major, minor) >= cuda_recipe.OLDEST and not cuda_recipe.runs_on(names, (major, minor)):
            told = " ".join(names)
            raise cuda_recipe.CudaBuildError(
                f"TORCH_CUDA_ARCH_LIST is {told}, which leaves out the {major}.{minor} here"
            )
    nvcc, version = cuda_recipe.toolkit()
    key = repr((cuda_recipe.digest(folder), torch.__version__, str(nvcc), version, names))
    target = build.cache() / f"cuda-{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    home = Path(torch.__file__).parent
    with build.once(target) as scratch:
        if scratch is not None:
            build.tell("the CUDA kernels")
            cuda_recipe.link(cuda_recipe.compile_objects(folder, scratch, names, home), target, home)
    return target


def cards() -> list[tuple[int, int]]:
    """The compute capabilities of the GPUs here."""
    return [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _capability(kind: str, index: int | None) -> tuple[int, int]:
    """The compute capability of a GPU; of anything else, one that is good enough."""
    return _card(index) if kind == "cuda" and index is not None else cuda_recipe.OLDEST


@functools.cache
def _card(index: int) -> tuple[int, int]:
    return torch.cuda.get_device_capability(index)


def _open(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.ganzoo_cuda_architectures.restype = ctypes.c_char_p
    library.ganzoo_cuda_allow_tf32.argtypes = [ctypes.c_int]
    return library


def _register(path: Path, library: ctypes.CDLL, how: str) -> Loaded:
    torch.ops.load_library(str(path))
    return Loaded(library, path, how)
