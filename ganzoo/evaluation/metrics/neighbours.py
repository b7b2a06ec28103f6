"""Distances to nearest neighbours, computed in chunks that fit into memory. This module contains no metric."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 1 << 25
"""Maximum number of distances in memory."""


def nearest(queries: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return ascending Euclidean distances and indices, [N, k], of the `k` points [M, D] nearest to queries [N, D]."""
    parts = [distances.topk(k, largest=False) for _, distances in chunks(queries, points)]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def radii(points: Tensor, k: int) -> Tensor:
    """Return the distance [N] of each point [N, D] to its k-th nearest other point."""
    return nearest(points, points, k + 1)[0][:, k]


def chunks(queries: Tensor, points: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield rows of the Euclidean distance matrix of [N, D] and [M, D]: a slice of queries, their distances [n, M]."""
    centre = points.mean(0)  # the matrix product subtracts squares, which is more accurate near the origin
    queries, points = queries - centre, points - centre
    step = max(1, CHUNK // len(points))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        yield rows, torch.cdist(queries[rows], points, compute_mode="use_mm_for_euclid_dist")
