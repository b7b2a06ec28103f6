"""Layers that take a condition: conditional batch norm for generators, the projection head for discriminators."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.nn.batch_norm import is_stock, norm_tensors, normalised
from ganzoo.ops import batch_norm_leaky_relu


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose scale and shift are looked up by label: Dumoulin et al. 2017, arXiv:1610.07629.

    Called with feature maps [N, C, H, W] and labels [N]. Scales start from N(1, 0.02), shifts from 0.
    """

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.embed = nn.Embedding(classes, 2 * channels)
        nn.init.normal_(self.embed.weight[:, :channels], 1.0, 0.02)
        nn.init.zeros_(self.embed.weight[:, channels:])

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        scale, shift = self.scale_and_shift(labels)
        return torch.addcmul(shift[:, :, None, None], scale[:, :, None, None], self.norm(maps))

    def scale_and_shift(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The labels' scales and shifts, [N, C] each."""
        scale, shift = self.embed(labels).chunk(2, dim=1)
        return scale, shift


class VectorBatchNorm(nn.Module):
    """Batch norm whose scale and shift are linear in a vector: Brock et al. 2019, arXiv:1809.11096, appendix B.

    Called with feature maps [N, C, H, W] and vectors [N, features]. The scale is 1 + gain(vector).
    """

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(features, channels, bias=False)
        self.shift = nn.Linear(features, channels, bias=False)

    def forward(self, maps: Tensor, vectors: Tensor) -> Tensor:
        scale, shift = self.scale_and_shift(vectors)
        return torch.addcmul(shift[:, :, None, None], scale[:, :, None, None], self.norm(maps))

    def scale_and_shift(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors' scales and shifts, [N, C] each."""
        return 1 + self.gain(vectors), self.shift(vectors)


def norm_relu(norm: Any, maps: Tensor, condition: Tensor | None = None) -> Tensor:
    """ReLU of `norm(maps, condition)` if the norm is conditional, else of `norm(maps)`.

    Batch norms, conditional ones too, are computed by `ganzoo.ops.batch_norm_leaky_relu`.
    """
    kind = next((k for k in (ConditionalBatchNorm, VectorBatchNorm) if isinstance(norm, k)), nn.BatchNorm2d)
    conditional = kind is not nn.BatchNorm2d
    batch_norm = norm.norm if conditional else norm
    if not is_stock(norm, kind) or not is_stock(batch_norm, nn.BatchNorm2d):
        return F.relu(norm(maps, condition) if conditional else norm(maps))
    weight, bias, *running = norm_tensors(batch_norm)
    if conditional:
        weight, bias = norm.scale_and_shift(condition)
    return normalised(batch_norm_leaky_relu, batch_norm, maps, weight, bias, *running)


class ProjectionHead(nn.Module):
    """Logits linear(h) + <E(label), h> of features h [N, C]: Miyato and Koyama 2018, arXiv:1802.05637, eq. 8.

    With `classes=0` there is no embedding E, and the labels are not used. Returns [N].
    """

    def __init__(self, channels: int, classes: int = 0):
        super().__init__()
        self.linear = nn.Linear(channels, 1)
        self.embed = nn.Embedding(classes, channels) if classes else None
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        if self.embed is not None:
            nn.init.xavier_uniform_(self.embed.weight)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.linear(features).squeeze(1)
        return logits if self.embed is None else logits + (self.embed(labels) * features).sum(1)
