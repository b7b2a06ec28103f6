"""Sliced Wasserstein distance of patches: do samples have the texture of real images, scale by scale? No extractor."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.evaluation.context import Pool, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric

PATCH = 7
PATCHES = 128
DIRECTIONS = 4 * 128
MOST = 16_384
SMALLEST = 16
KERNEL = (1.0, 4.0, 6.0, 4.0, 1.0)
CHUNK = 512


class SWD(Metric):
    name = "swd"
    summary = "sliced Wasserstein distance of 7x7 patches from a Laplacian pyramid, x 1000, averaged over its levels"
    paper = "Karras et al. 2018, arXiv:1710.10196"
    pyramid: ClassVar[str] = "cv2"

    def measure(self, subject: Subject) -> Finding:
        control = subject.control
        n = min(MOST, *map(len, subject.pools))
        sizes = levels(subject.gan.spec.size)
        found, real = self._distances(subject, subject.samples, n), {}
        if control:
            real = self._distances(subject, control, n)
        protocol = subject.protocol(
            pyramid=self.pyramid, levels=sizes, patches=f"{PATCHES} of {PATCH}x{PATCH} an image, normalised",
            directions=DIRECTIONS, scale=1000, resize="none",
        ) | {"samples": n, "reference": n}  # fmt: skip
        figures = {name: Figure(value, "lower", real.get(name)) for name, value in found.items()}
        mean = Figure(_mean(found), "lower", _mean(real) if real else None)
        return Finding({self.name: mean, **(figures if len(figures) > 1 else {})}, protocol)

    def why_not(self, subject: Subject) -> str | None:
        size = subject.gan.spec.size
        small = f"needs images of at least {SMALLEST} pixels a side, but these have {size}"
        return super().why_not(subject) or (None if levels(size) else small)

    def _distances(self, subject: Subject, pool: Pool, n: int) -> dict[str, float]:
        """By level, the distance of `pool` from the reference."""
        rng, names = subject.rng(self.name), levels(subject.gan.spec.size)
        ours = descriptors(pool.images[:n], len(names), rng, self.pyramid)
        theirs = descriptors(subject.reference.images[:n], len(names), rng, self.pyramid)
        return {
            f"{self.name}_{name}": 1000 * sliced_wasserstein(a, b, DIRECTIONS, rng)
            for name, a, b in zip(names, ours, theirs)
        }


class SWDOfMMGeneration(SWD):
    """Its pyramid fills up with zeros at the border and blurs the repeated pixels when it goes up, so that its figures
    are not PGGAN's. Here to be compared with its published tables."""

    name = "swd_mmgen"
    summary = "the same as mmgeneration computes it, for comparison with its tables"
    paper = "open-mmlab/mmgeneration, mmgen.core.evaluation"
    by_default = False
    pyramid = "mmgeneration"


def levels(size: int) -> list[int]:
    """The sides of the pyramid's levels: halved as long as they stay whole and have at least 16 pixels."""
    sides = [size] if size >= SMALLEST else []
    while sides and sides[-1] % 2 == 0 and sides[-1] // 2 >= SMALLEST:
        sides.append(sides[-1] // 2)
    return sides


def descriptors(images: np.ndarray, count: int, rng: np.random.Generator, pyramid: str = "cv2") -> list[Tensor]:
    """For each of `count` levels, 128 random patches an image, float32 [N * 128, C * 49], normalised by channel."""
    found: list[list[Tensor]] = [[] for _ in range(count)]
    for start in range(0, len(images), CHUNK):
        chunk = torch.from_numpy(np.ascontiguousarray(images[start : start + CHUNK])).float().div_(127.5).sub_(1)
        for level, patches in zip(laplacian_pyramid(chunk, count, pyramid), found):
            every = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)
            places = (len(level), PATCHES)
            y, x = (torch.from_numpy(rng.integers(0, every.shape[i], places)) for i in (2, 3))
            patches.append(every[torch.arange(len(level))[:, None], :, y, x].flatten(0, 1))
    return [_normalised(torch.cat(patches)) for patches in found]


def laplacian_pyramid(images: Tensor, count: int, kind: str = "cv2") -> list[Tensor]:
    """`images` [N, C, S, S] split into `count` bands of halving size; the last holds what is left.

    kind: "cv2" mirrors at the border and goes up like cv2.pyrUp; "mmgeneration" is as SWDOfMMGeneration says.
    """
    pyramid = [images]
    for _ in range(count - 1):
        smaller = _blur(pyramid[-1], kind)[:, :, ::2, ::2]
        if kind == "cv2":
            larger = torch.zeros_like(pyramid[-1])
            larger[:, :, ::2, ::2] = 4 * smaller
        else:
            larger = F.interpolate(smaller, scale_factor=2)
        pyramid[-1] = pyramid[-1] - _blur(larger, kind)
        pyramid.append(smaller)
    return pyramid


def sliced_wasserstein(a: Tensor, b: Tensor, directions: int, rng: np.random.Generator, chunk: int = 16) -> float:
    """Mean over random unit directions of the 1-Wasserstein distance of projections of [N, D] and [N, D]."""
    lines = torch.from_numpy(rng.standard_normal((directions, a.shape[1]), dtype=np.float32))
    lines = lines / lines.norm(dim=1, keepdim=True)
    total = 0.0
    for few in lines.split(chunk):
        ours, theirs = (few @ a.T).numpy(), (few @ b.T).numpy()
        ours.sort(axis=1)  # numpy sorts numbers thirty times as fast as torch
        theirs.sort(axis=1)
        total += float(np.abs(ours - theirs).mean(1).sum())
    return total / directions


def _blur(images: Tensor, kind: str) -> Tensor:
    n, channels, height, width = images.shape
    kernel = torch.tensor(KERNEL) / 16
    window = (kernel[:, None] * kernel).view(1, 1, 5, 5)
    flat = images.reshape(n * channels, 1, height, width)
    padded = F.pad(flat, (2, 2, 2, 2), mode="reflect" if kind == "cv2" else "constant")
    return F.conv2d(padded, window).view(n, channels, height, width)


def _normalised(patches: Tensor) -> Tensor:
    patches -= patches.mean((0, 2, 3), keepdim=True)
    patches /= patches.std((0, 2, 3), keepdim=True).clamp_min(1e-12)
    return patches.flatten(1)


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)
