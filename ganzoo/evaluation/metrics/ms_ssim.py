"""Structural similarity of pairs of samples: how much alike are they? No extractor."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.evaluation.context import Pool, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
SIGMA = 1.5
MOST = 10_000
CHUNK = 250


class MSSSIM(Metric):
    name = "ms_ssim"
    summary = "mean multi-scale structural similarity of random pairs of samples: higher than real ones, less diverse"
    paper = "Wang et al. 2003; Odena et al. 2017, arXiv:1610.09585; windows as in Karras et al. 2018"

    def measure(self, subject: Subject) -> Finding:
        found, real = (self._of_pairs(subject, pool) for pool in (subject.samples, subject.reference))
        protocol = subject.protocol(
            pairs=_pairs(subject.samples), reference_pairs=_pairs(subject.reference),
            paired="at random, across classes", scales=len(WEIGHTS), window=WINDOW, resize="none",
        )  # fmt: skip
        return Finding({self.name: Figure(found, "real", real)}, protocol)

    def _of_pairs(self, subject: Subject, pool: Pool) -> float:
        sides = subject.rng(self.name).permutation(len(pool))[: 2 * _pairs(pool)].reshape(2, -1)
        scores = [
            ms_ssim(*(torch.from_numpy(pool.images[side[i : i + CHUNK]]) for side in sides))
            for i in range(0, sides.shape[1], CHUNK)
        ]
        return float(torch.cat(scores).mean())


def _pairs(pool: Pool) -> int:
    return min(MOST, len(pool)) // 2


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """The similarity [N], 0 to 1, of each image of `a` with the one of `b`, uint8 or 0..255, [N, C, S, S].

    Five scales. On a scale smaller than the window, the window shrinks to it, its sigma too.
    """
    n = len(a)
    x, y = (side.float().flatten(0, 1)[:, None] for side in (a, b))
    result = torch.ones(n)
    for i, weight in enumerate(WEIGHTS):
        if i:
            x, y = (F.avg_pool2d(side, 2, ceil_mode=True) for side in (x, y))
        similarity, contrast = ssim(x, y)
        term = similarity if i == len(WEIGHTS) - 1 else contrast
        result *= term.view(n, -1).mean(1).clamp_min(0) ** weight
    return result


def ssim(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Structural similarity and its contrast term [M], for single channels 0..255, [M, 1, S, S]."""
    size = min(WINDOW, x.shape[-1])
    places = torch.arange(size) - (size - 1) / 2
    line = torch.exp(-(places**2) / (2 * (SIGMA * size / WINDOW) ** 2))
    line /= line.sum()

    def average(values: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(values, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))

    mean_x, mean_y = average(x), average(y)
    var_x, var_y = average(x * x) - mean_x**2, average(y * y) - mean_y**2
    covariance = average(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))
