"""Self-attention over feature maps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """x + s * attention(x), the scalar s starting at 0: Zhang et al. 2019, arXiv:1805.08318, section 3.

    Maps [N, C, H, W] -> the same shape, C and both sides at least 2. Keys and values are pooled over 2x2 pixels; the
    products are not scaled. 1.25 C^2 + 1 parameters if 8 divides C.
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = max(1, channels // 8)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.out = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor) -> Tensor:
        query = self.query(maps).flatten(2).transpose(1, 2)  # [N, HW, C/8]
        key = F.max_pool2d(self.key(maps), 2).flatten(2).transpose(1, 2)  # [N, HW/4, C/8]
        value = F.max_pool2d(self.value(maps), 2).flatten(2).transpose(1, 2)  # [N, HW/4, C/2]
        # on a GPU F.scaled_dot_product_attention may add up in any order, and it has no second derivatives there
        mixed = (query @ key.transpose(1, 2)).softmax(-1) @ value
        attended: Tensor = self.out(mixed.transpose(1, 2).unflatten(2, maps.shape[2:]))
        return maps + self.strength * attended
