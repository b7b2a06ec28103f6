"""Sliced Wasserstein distance of image patches at several scales, which needs no feature extractor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.evaluation.context import EvaluationContext, SampleSet
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue

PATCH = 7
PATCHES = 128
DIRECTIONS = 4 * 128
MAX_SAMPLES = 16_384
MIN_SIDE = 16
KERNEL = (1.0, 4.0, 6.0, 4.0, 1.0)
CHUNK = 512


class SWD(Metric):
    name = "swd"
    summary = "sliced Wasserstein distance of 7x7 patches of a Laplacian pyramid, x 1000, averaged over its levels"
    paper = "Karras et al. 2018, arXiv:1710.10196"
    headline = ("swd",)
    pyramid: ClassVar[str] = "cv2"

    def measure(self, context: EvaluationContext) -> MetricResult:
        control = context.control
        n = min(MAX_SAMPLES, *map(len, context.sample_sets))
        sizes = levels(*_sides(context))
        distances = self._distances(context, context.samples, n)
        real = self._distances(context, control, n) if control else {}
        protocol = context.protocol(
            pyramid=self.pyramid, levels=sizes, patches=f"{PATCHES} of {PATCH}x{PATCH} an image, normalised",
            directions=DIRECTIONS, scale=1000, resize="none",
        ) | {"samples": n, "reference": n}  # fmt: skip
        by_level = {name: MetricValue(value, "lower", real.get(name)) for name, value in distances.items()}
        mean = MetricValue(_mean(distances), "lower", _mean(real) if real else None)
        return MetricResult({self.name: mean, **(by_level if len(by_level) > 1 else {})}, protocol)

    def inapplicable_reason(self, context: EvaluationContext) -> str | None:
        reason = super().inapplicable_reason(context)
        if reason or levels(*_sides(context)):
            return reason
        return f"needs images of at least {MIN_SIDE} pixels a side, but these have {min(_sides(context))}"

    def _distances(self, context: EvaluationContext, images: SampleSet, n: int) -> dict[str, float]:
        """Distance of `images` from the reference, by level."""
        rng, names = context.rng(self.name), levels(*_sides(context))
        patches = descriptors(images.images[:n], len(names), rng, self.pyramid)
        reference = descriptors(context.reference.images[:n], len(names), rng, self.pyramid)
        device = context.device
        return {
            f"{self.name}_{name}": 1000 * sliced_wasserstein(a.to(device), b.to(device), DIRECTIONS, rng)
            for name, a, b in zip(names, patches, reference)
        }


class SWDOfMMGeneration(SWD):
    """SWD with mmgeneration's pyramid, for comparison with its published tables.

    The pyramid pads with zeros and upsamples by repeating pixels before the blur, so its values differ from PGGAN's.
    """

    name = "swd_mmgen"
    summary = "swd as mmgeneration computes it, for comparison with its tables"
    paper = "open-mmlab/mmgeneration, mmgen.core.evaluation"
    default = False
    headline = ("swd_mmgen",)
    pyramid = "mmgeneration"


def _sides(context: EvaluationContext) -> tuple[int, int]:
    height, width = context.samples.first(1).images.shape[2:]
    return height, width


def levels(height: int, width: int) -> list[int]:
    """The shorter sides of the pyramid's levels: halved while both sides are even and the halves at least 16 pixels."""
    sides = [min(height, width)] if min(height, width) >= MIN_SIDE else []
    while sides and height % 2 == width % 2 == 0 and sides[-1] // 2 >= MIN_SIDE:
        height, width = height // 2, width // 2
        sides.append(min(height, width))
    return sides


@dataclass(frozen=True)
class Patches:
    """128 patches of every image of one level, normalized by channel; they are cut out when they are needed.

    All patches of 10,000 images of 32 pixels would take 0.75 GB.

    band: the level's images, float32 [N, C, H, W].
    y, x: the patches' corners, int64 [N, 128].
    """

    band: Tensor
    y: Tensor
    x: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """The number of patches, and of values in one."""
        return self.y.numel(), self.band.shape[1] * PATCH**2

    def to(self, device: torch.device) -> Patches:
        """The same patches on a device."""
        return Patches(self.band.to(device), self.y.to(device), self.x.to(device))

    def chunks(self) -> Iterator[Tensor]:
        """The normalized patches of CHUNK images at a time, float32 [n * 128, C * 49]."""
        for patches in self._raw():
            yield patches.sub_(self._mean).div_(self._std).flatten(1)

    def all(self) -> Tensor:
        """All normalized patches, float32 [N * 128, C * 49]."""
        return torch.cat(list(self.chunks()))

    def _raw(self) -> Iterator[Tensor]:
        for start in range(0, len(self.band), CHUNK):
            windows = self.band[start : start + CHUNK].unfold(2, PATCH, 1).unfold(3, PATCH, 1)
            y, x = self.y[start : start + CHUNK], self.x[start : start + CHUNK]
            yield windows[torch.arange(len(windows), device=y.device)[:, None], :, y, x].flatten(0, 1)

    @cached_property
    def _mean(self) -> Tensor:
        """The mean of each channel, [1, C, 1, 1]."""
        total = sum(patches.sum((0, 2, 3), keepdim=True, dtype=torch.float64) for patches in self._raw())
        return (torch.as_tensor(total) / (self.shape[0] * PATCH**2)).float()

    @cached_property
    def _std(self) -> Tensor:
        """The standard deviation of each channel, [1, C, 1, 1]."""
        squares = sum(
            (patches - self._mean).square().sum((0, 2, 3), keepdim=True, dtype=torch.float64) for patches in self._raw()
        )
        return (torch.as_tensor(squares) / (self.shape[0] * PATCH**2 - 1)).sqrt().float().clamp_min(1e-12)


def descriptors(images: np.ndarray, count: int, rng: np.random.Generator, pyramid: str = "cv2") -> list[Patches]:
    """The patches of `images` uint8 [N, C, H, W] on each of `count` levels."""
    by_level: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in range(count)]
    for start in range(0, len(images), CHUNK):
        chunk = torch.from_numpy(np.ascontiguousarray(images[start : start + CHUNK])).float().div_(127.5).sub_(1)
        for level, parts in zip(laplacian_pyramid(chunk, count, pyramid), by_level):
            y, x = (
                torch.from_numpy(rng.integers(0, side - PATCH + 1, (len(level), PATCHES))) for side in level.shape[2:]
            )
            parts.append((level, y, x))
    return [Patches(*(torch.cat(tensors) for tensors in zip(*parts))) for parts in by_level]


def laplacian_pyramid(images: Tensor, count: int, kind: str = "cv2") -> list[Tensor]:
    """Split `images` [N, C, H, W] into `count` bands of halving size; the last is the low-pass residual.

    kind: "cv2" mirrors at the border and upsamples like cv2.pyrUp; for "mmgeneration" see SWDOfMMGeneration.
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


def sliced_wasserstein(
    a: Tensor | Patches, b: Tensor | Patches, directions: int, rng: np.random.Generator, chunk: int = 32
) -> float:
    """Mean 1-Wasserstein distance of the projections of [N, D] and [N, D] on random unit directions."""
    units = torch.from_numpy(rng.standard_normal((directions, a.shape[1]), dtype=np.float32))
    units = units / units.norm(dim=1, keepdim=True)
    total = 0.0
    for part in units.split(chunk):
        ours, theirs = (_sorted(_projected(points, part)) for points in (a, b))
        total += float(ours.sub_(theirs).abs_().mean(1).sum())
    return total / directions


def _projected(points: Tensor | Patches, units: Tensor) -> Tensor:
    """The projections of `points` [N, D] on `units` [M, D], float32 [M, N], on the device of the points."""
    chunks = [points] if isinstance(points, Tensor) else points.chunks()
    return torch.cat([units.to(chunk.device) @ chunk.T for chunk in chunks], dim=1)


def _sorted(values: Tensor) -> Tensor:
    """Each row of `values` in ascending order; on the CPU in place."""
    if values.device.type != "cpu":
        return values.sort(1).values
    values.numpy().sort(axis=1)  # thirty times faster than torch's sort
    return values


def _blur(images: Tensor, kind: str) -> Tensor:
    n, channels, height, width = images.shape
    kernel = torch.tensor(KERNEL) / 16
    window = (kernel[:, None] * kernel).view(1, 1, 5, 5)
    flat = images.reshape(n * channels, 1, height, width)
    padded = F.pad(flat, (2, 2, 2, 2), mode="reflect" if kind == "cv2" else "constant")
    return F.conv2d(padded, window).view(n, channels, height, width)


def _mean(values: dict[str, float]) -> float:
    return sum(values.values()) / len(values)
