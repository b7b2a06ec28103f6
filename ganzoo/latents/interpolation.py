"""Paths and grids between points of a latent space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganzoo.core.errors import UsageError
from ganzoo.latents.space import Latents

Path = Callable[[Tensor, Tensor, Tensor], Tensor]


def lerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """(1 - t) a + t b of a, b [N, ...] and t [N] or a number."""
    return torch.lerp(a, b, _per_point(t, a))


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Spherical interpolation from a (t = 0) to b (t = 1), both [N, ...], t [N] or a number.

    Normal noise lies near a sphere, whose interior, through which a straight line leads, a generator has hardly seen:
    White 2016, arXiv:1609.04468. Between parallel or opposite points the path is straight.
    """
    cosine = torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten(1)).clamp(-1, 1)
    angle = _per_point(cosine.acos(), a)
    t = _per_point(t, a)
    sine = angle.sin()
    curved = ((1 - t) * angle).sin() / sine * a + (t * angle).sin() / sine * b
    return torch.where(sine > 0.01, curved, torch.lerp(a, b, t))


def between(a: Latents, b: Latents, t: Tensor, path: Path = slerp) -> Latents:
    """Points at t [N] in [0, 1] from `a` to `b`, N points each, or one for all. Classes are mixed linearly."""
    count = max(len(a), len(b), len(t))
    t = t.to(a.z).expand(count)
    z = path(_repeated(a.z, count), _repeated(b.z, count), t)
    if a.condition is None or b.condition is None:
        return Latents(z)
    return Latents(z, lerp(_repeated(a.condition, count), _repeated(b.condition, count), t))


def walk(points: Latents, frames: int, path: Path = slerp) -> Latents:
    """A closed walk through all `points`: `frames` latents, evenly spaced between one point and the next.

    Frame 0 is the first point, and the frame after the last would be the first again. Raises UsageError for fewer than
    two points, or fewer frames than points.
    """
    if len(points) < 2:
        raise UsageError(f"A walk needs at least two points, not {len(points)}.")
    if frames < len(points):
        raise UsageError(f"A walk through {len(points)} points needs at least as many frames, not {frames}.")
    position = torch.arange(frames, dtype=torch.float64) * len(points) / frames
    start = position.long()
    return between(points[start], points[(start + 1) % len(points)], (position - start).float(), path)


def corners(points: Latents, rows: int, columns: int, path: Path = slerp) -> Latents:
    """A grid between four corners, row by row: [rows * columns].

    `points` are the corners: top left, top right, bottom left, bottom right.
    """
    if len(points) != 4:
        raise UsageError(f"A grid has four corners, not {len(points)}.")
    if min(rows, columns) < 2:
        raise UsageError(f"A grid needs at least 2 rows and 2 columns, not {rows} and {columns}.")
    across, down = torch.linspace(0, 1, columns), torch.linspace(0, 1, rows)
    top, bottom = between(points[:1], points[1:2], across, path), between(points[2:3], points[3:], across, path)
    column = torch.arange(columns).repeat(rows)
    return between(top[column], bottom[column], down.repeat_interleave(columns), path)


def _per_point(values: Tensor | float, like: Tensor) -> Tensor:
    """A number for each point [N], or one for all, in a shape that multiplies `like` [N, ...]."""
    values = torch.as_tensor(values, dtype=like.dtype, device=like.device)
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _repeated(values: Tensor, count: int) -> Tensor:
    return values.expand(count, *values.shape[1:]) if len(values) == 1 else values
