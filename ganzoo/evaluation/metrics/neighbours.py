"""Distances to nearest neighbours, in chunks that fit into memory. No metric of its own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 1 << 25
"""How many distances are held at a time."""


def nearest(queries: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Euclidean distances, ascending, and indices, [N, k], of the `k` points [M, D] nearest to queries [N, D]."""
    found = [distances.topk(k, largest=False) for _, distances in chunks(queries, points)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def radii(points: Tensor, k: int) -> Tensor:
    """The distance [N] of each point [N, D] to its k-th nearest other one."""
    return nearest(points, points, k + 1)[0][:, k]


def chunks(queries: Tensor, points: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of the Euclidean distance matrix of [N, D] and [M, D]: the slice of queries, and their distances [n, M]."""
    centre = points.mean(0)  # distances are differences of squares, more exact near the origin
    queries, points = queries - centre, points - centre
    step = max(1, CHUNK // len(points))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        yield rows, torch.cdist(queries[rows], points, compute_mode="use_mm_for_euclid_dist")
