"""The device, tolerances and requirements of the tests of the CUDA kernels.

They need a GPU, or an emulated one: `make cuda-emulate` compiles the kernels for the CPU and runs the tests on smaller
examples, with the path of the binary in GANZOO_EMULATED_CUDA.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from ganzoo.ops import cpu_library, cuda_library
from ganzoo.ops.library import Loaded

EMULATED = os.environ.get("GANZOO_EMULATED_CUDA")
DEVICE = "cpu" if EMULATED else "cuda"


def missing() -> str | None:
    """Why the tests cannot run, or None; loads the emulated kernels in place of the CPU's if requested."""
    if cpu_library.unavailable_reason() is not None:
        return cpu_library.unavailable_reason()
    if EMULATED:
        torch.ops.load_library(EMULATED)
        cuda_library.EMULATED = True
        cuda_library.LIBRARY.loaded = Loaded(ctypes.CDLL(EMULATED), None, "emulated")
        return None
    if not torch.cuda.is_available():
        return "there is no GPU"
    return cuda_library.unavailable_reason()


REASON = missing()
needs_cuda = pytest.mark.skipif(REASON is not None, reason=f"no CUDA kernels: {REASON}")
only_on_a_gpu = pytest.mark.skipif(EMULATED is not None, reason="the emulator has no streams, graphs or second device")

LIMITS = {"fp32": 2e-5, "tf32": 1e-3, "fp16": 1.5e-3, "bf16": 1e-2}
"""Of ||actual - exact|| / ||exact||, with `exact` computed in float64 from the same numbers."""
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
every_precision = pytest.mark.parametrize("precision", LIMITS)


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """Multiply float32 in this precision."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        cuda_library.unavailable_reason()  # passes the setting on to the kernels
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def near(actual: Tensor, exact: Tensor, limit: float, size: Tensor | None = None) -> None:
    """Assert ||actual - exact|| <= limit ||size||; `size` is the magnitude of the rounded sums, by default `exact`."""
    assert actual.shape == exact.shape
    actual, exact = actual.detach().double().cpu(), exact.detach().double().cpu()
    size = exact if size is None else size.detach().double().cpu()
    assert (actual - exact).norm() <= limit * size.norm() + 1e-6, f"{float((actual - exact).norm() / size.norm()):.2e}"
