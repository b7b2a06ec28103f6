"""How a GPU multiplies float32 numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Within this context float32 products are made of tf32 numbers, or of whole ones.

    torch has two sets of names for it. The older ones raise where they are read after the newer ones were used, and
    their False is not final: it leaves the choice to `torch.backends.fp32_precision`.
    """
    backends: Any = torch.backends
    kinds = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)

    def choose(precisions: list[str]) -> None:
        backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = (precisions[i] == "tf32" for i in (0, 2))
        for kind, precision in zip(kinds, precisions):
            kind.fp32_precision = precision

    before = [kind.fp32_precision for kind in kinds]
    choose(["tf32" if on else "ieee"] * 3)
    try:
        yield
    finally:
        choose(before)
