"""Multi-scale structural similarity of pairs of samples, a measure of diversity that needs no feature extractor."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.evaluation.context import EvaluationContext, SampleSet
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
SIGMA = 1.5
MAX_SAMPLES = 10_000
CHUNK = 250


class MSSSIM(Metric):
    name = "ms_ssim"
    summary = "mean structural similarity of random pairs of samples; above that of real images: less diverse"
    paper = "Wang et al. 2003; Odena et al. 2017, arXiv:1610.09585; windows as in Karras et al. 2018"

    def measure(self, context: EvaluationContext) -> MetricResult:
        similarity, real = (self._of_pairs(context, images) for images in (context.samples, context.reference))
        protocol = context.protocol(
            pairs=_pairs(context.samples), reference_pairs=_pairs(context.reference),
            paired="at random, across classes", scales=len(WEIGHTS), window=WINDOW, resize="none",
        )  # fmt: skip
        return MetricResult({self.name: MetricValue(similarity, "real", real)}, protocol)

    def _of_pairs(self, context: EvaluationContext, images: SampleSet) -> float:
        sides = context.rng(self.name).permutation(len(images))[: 2 * _pairs(images)].reshape(2, -1)
        scores = [
            ms_ssim(*(torch.from_numpy(images.images[side[i : i + CHUNK]]) for side in sides))
            for i in range(0, sides.shape[1], CHUNK)
        ]
        return float(torch.cat(scores).mean())


def _pairs(images: SampleSet) -> int:
    return min(MAX_SAMPLES, len(images)) // 2


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Similarity [N], 0 to 1, of each image in `a` with its counterpart in `b`; [N, C, H, W], uint8 or float 0..255.

    Five scales. On scales smaller than the window, the window and its sigma shrink to the size of the image.
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
    """Structural similarity and its contrast term, both [M], of single channels [M, 1, H, W], 0..255."""
    size = min(WINDOW, *x.shape[2:])
    offsets = torch.arange(size) - (size - 1) / 2
    kernel = torch.exp(-(offsets**2) / (2 * (SIGMA * size / WINDOW) ** 2))
    kernel /= kernel.sum()

    def average(values: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(values, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))

    mean_x, mean_y = average(x), average(y)
    var_x, var_y = average(x * x) - mean_x**2, average(y * y) - mean_y**2
    covariance = average(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))
