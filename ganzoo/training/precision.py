"""TF32 matrix products on NVIDIA GPUs, and bfloat16 on CPUs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from ganzoo.ops import cpu_library
from ganzoo.training.state import TrainingState


@contextlib.contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Within this context, float32 matrix products use TF32 if `on`, else full precision.

    torch has two sets of flags for this. Reading an old flag raises after a new one was set, and setting an old one to
    False only leaves the choice to `torch.backends.fp32_precision`, so this writes both.
    """
    backends: Any = torch.backends
    kinds = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)

    def set_precisions(precisions: list[str]) -> None:
        backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = (precisions[i] == "tf32" for i in (0, 2))
        for kind, precision in zip(kinds, precisions):
            kind.fp32_precision = precision

    before = [kind.fp32_precision for kind in kinds]
    set_precisions(["tf32" if on else "ieee"] * 3)
    try:
        yield
    finally:
        set_precisions(before)


def note_on_bfloat16(state: TrainingState) -> list[str]:
    """A note if the native kernels cannot use bfloat16: on CPUs without products of it."""
    if state.device.type != "cpu" or state.dtype != torch.bfloat16 or cpu_library.unavailable_reason() is not None:
        return []
    if cpu_library.has_bfloat16():
        return []
    return [
        "precision=bf16 is no faster than fp32 here: the native kernels have bfloat16 products for AVX512_BF16 only, "
        "which is not in use, so they compute in float32."
    ]
