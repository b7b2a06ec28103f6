"""Vector arithmetic on latents: Radford et al. 2016, arXiv:1511.06434, section 6.3.2 and figure 7."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ganzoo.latents.space import Latents

NOISE = 0.25
"""Radford et al. show the neighbours of a result in uniform noise of this size."""


def mean(points: Latents) -> Latents:
    """The mean of `points`, as one point. Radford et al. take three: single ones gave unstable results."""
    return Latents(points.z.mean(0, True), None if points.condition is None else points.condition.mean(0, True))


def combine(terms: Sequence[tuple[float, Latents]]) -> Latents:
    """The sum of factor * mean(points) over `terms`, as one point: [(1, a), (-1, b), (1, c)] is A - B + C.

    Classes are combined in the same way.
    """
    means = [(factor, mean(points)) for factor, points in terms]
    z = sum(factor * point.z for factor, point in means)
    condition = sum(factor * point.condition for factor, point in means if point.condition is not None)
    assert isinstance(z, torch.Tensor), "there is at least one term"
    return Latents(z, condition if isinstance(condition, torch.Tensor) else None)


def neighbours(point: Latents, count: int, seed: int = 0, noise: float = NOISE) -> Latents:
    """`point`, one of them, and `count` - 1 others around it, z moved by uniform noise of up to `noise`."""
    rng = torch.Generator().manual_seed(seed)
    moves = (torch.rand(count, *point.z.shape[1:], generator=rng) * 2 - 1) * noise
    moves[0] = 0
    z = point.z + moves.to(point.z)
    return Latents(z, None if point.condition is None else point.condition.expand(count, -1))
