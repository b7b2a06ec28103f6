"""Dropout with fewer random numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.ops.autograd import functorch_active
from ganzoo.ops.backend import exporting, resolve

STEPS = 1 << 16


class Dropout(nn.Dropout):
    """nn.Dropout that draws 16 random bits for each number on the CPU, where PyTorch draws 64.

    There `p` is rounded to a multiple of 2^-16. Elsewhere, in compiled and exported programs and with the backend
    "reference" it is PyTorch's.
    """

    def forward(self, input: Tensor) -> Tensor:
        dropped = round(self.p * STEPS)
        if not self.training or dropped in (0, STEPS) or not input.is_cpu or _plain():
            return super().forward(input)
        words = torch.empty((input.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
        kept = words.view(torch.int16)[: input.numel()] >= dropped - STEPS // 2
        mask = kept.to(input.dtype).mul_(STEPS / (STEPS - dropped))
        if input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last):
            n, c, h, w = input.shape
            return input * mask.view(n, h, w, c).permute(0, 3, 1, 2)
        return input * mask.view(input.shape)


def _plain() -> bool:
    return torch.compiler.is_compiling() or functorch_active() or exporting() or resolve("auto") == "reference"
