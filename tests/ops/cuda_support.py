"""Where the tests of the CUDA kernels run, how near they must come to float64, and what they need.

They need a GPU, or an emulated one: `make cuda-emulate` compiles the kernels for the CPU and runs the tests with
GANZOO_EMULATED_CUDA naming them, on smaller examples.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from ganzoo.ops import cuda, native

EMULATED = os.environ.get("GANZOO_EMULATED_CUDA")
DEVICE = "cpu" if EMULATED else "cuda"


def missing() -> str | None:
    """Why nothing in here can run; loads the emulated kernels over the CPU's where they are asked for."""
    if native.unavailable() is not None:
        return native.unavailable()
    if EMULATED:
        torch.ops.load_library(EMULATED)
        cuda.KIND, cuda._loaded = "cpu", cuda.Loaded(ctypes.CDLL(EMULATED), None, "emulated")
        return None
    if not torch.cuda.is_available():
        return "there is no GPU"
    return cuda.unavailable()


REASON = missing()
needs_cuda = pytest.mark.skipif(REASON is not None, reason=f"no CUDA kernels: {REASON}")
only_on_a_gpu = pytest.mark.skipif(EMULATED is not None, reason="the emulator has no streams, graphs or second device")

LIMITS = {"fp32": 2e-5, "tf32": 1e-3, "fp16": 1.5e-3, "bf16": 1e-2}
"""Of ||found - exact|| / ||exact||, exact being float64 on the same numbers."""
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
every_precision = pytest.mark.parametrize("precision", LIMITS)


@contextlib.contextmanager
def products(precision: str) -> Iterator[None]:
    """float32 multiplied as this precision says."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        cuda.unavailable()  # tells the kernels
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def near(found: Tensor, exact: Tensor, limit: float, size: Tensor | None = None) -> None:
    """||found - exact|| <= limit ||size||; `size`, else `exact`, is how large the sums are that were rounded."""
    assert found.shape == exact.shape
    found, exact = found.detach().double().cpu(), exact.detach().double().cpu()
    size = exact if size is None else size.detach().double().cpu()
    assert (found - exact).norm() <= limit * size.norm() + 1e-6, f"{float((found - exact).norm() / size.norm()):.2e}"
