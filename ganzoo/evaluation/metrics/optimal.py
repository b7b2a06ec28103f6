"""The optimal discriminator, for data of known density, compared with the trained one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ganzoo.data.imaging import MARGIN, scatter
from ganzoo.data.points import Mixture
from ganzoo.evaluation.context import EvaluationContext, Need
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue
from ganzoo.losses import get_loss

MAX_SAMPLES = 10_000
SIDE = 360
NEGLIGIBLE = 1e-6
"""Densities below this share of the data's peak density count as zero."""
EMPTY = 1e-3
"""Plots leave out D* where both densities are below this share of the peak, because it is meaningless there."""

Points = npt.NDArray[np.floating[Any]]


class OptimalDiscriminator(Metric):
    name = "optimal_discriminator"
    summary = "Jensen-Shannon divergence of data and samples from D* = p/(p + q), and distance of the trained D from D*"
    paper = "Goodfellow et al. 2014, arXiv:1406.2661, proposition 1 and theorem 1"
    needs = (Need.POINTS, Need.UNCONDITIONAL, Need.DISCRIMINATOR)
    min_samples = 1000

    def measure(self, context: EvaluationContext) -> MetricResult:
        gan, mixture = context.gan, context.mixture
        rng = context.rng(self.name)
        control = (context.control or context.reference).first(min(MAX_SAMPLES, len(context.samples)))
        samples = context.samples.first(MAX_SAMPLES).values
        real = context.reference.first(len(samples)).values
        ratio, ratio_of_real = DensityRatio(mixture, samples), DensityRatio(mixture, control.values)
        jsd, real_jsd = (r.divergence(real, rng) for r in (ratio, ratio_of_real))
        values = {"jsd": MetricValue(jsd, "lower", real_jsd)}
        details = {"value_at_optimum": 2 * jsd - 2 * float(np.log(2))}
        plane = mixture.means.shape[1] == 2
        panels = {"real and generated": scatter(_tensor(samples), gan.spec.scale, _tensor(real), SIDE)}
        if plane:
            panels["optimal D* = p/(p+q)"] = _heat_map(ratio.discriminator(_pixel_centres(gan.spec.scale), EMPTY))
        if get_loss(gan.config.loss).probability:  # D* is the optimum of these losses only
            both = np.concatenate([real[: len(samples)], samples])
            distance = np.abs(_trained_discriminator(context, both) - ratio.discriminator(both)).mean()
            values["discriminator_distance"] = MetricValue(float(distance), "lower")
            if plane:
                panels["trained D"] = _heat_map(_trained_discriminator(context, _pixel_centres(gan.spec.scale)))
        protocol = {
            "samples": len(samples), "seed": context.seed, "reference": len(real),
            "density": f"Gaussian kernels of bandwidth {mixture.sigma:g}; the data's density is smoothed by as much",
            "generator": "moving average",
        }  # fmt: skip
        return MetricResult(values, protocol, details, pictures={"optimal-discriminator": _side_by_side(panels)})


class DensityRatio:
    """The known density p of the data and the kernel density estimate q of samples [N, D].

    Both are smoothed with a Gaussian of the mixture's own width: p exactly, q by the kernels. Therefore p = q still
    gives D* = 1/2, and the divergence, which smoothing can only lower, is biased towards zero.
    """

    def __init__(self, mixture: Mixture, samples: Points):
        from sklearn.neighbors import KernelDensity

        self.bandwidth = mixture.sigma
        self.data = Mixture(mixture.means, float(np.hypot(mixture.sigma, self.bandwidth)))
        self.held_out = samples[: len(samples) // 2]
        self.peak = float(self.data.density(self.data.means).max())
        # an absolute tolerance skips distant kernels; a relative one could not where the density is nearly zero
        kernels = KernelDensity(bandwidth=self.bandwidth, atol=NEGLIGIBLE * self.peak)
        self.kernels = kernels.fit(np.asarray(samples[len(samples) // 2 :], np.float64))

    def discriminator(self, points: Points, empty: float = 0.0) -> npt.NDArray[np.float64]:
        """D* at `points` [N, D], float64 [N]; nan if both densities are below `empty` times the peak of p."""
        p, q = self.data.density(points), np.exp(self.kernels.score_samples(np.asarray(points, np.float64)))
        tiny = NEGLIGIBLE * self.peak
        result: npt.NDArray[np.float64] = (p + tiny) / (p + q + 2 * tiny)  # 1/2 far from all points
        result[np.maximum(p, q) < empty * self.peak] = np.nan
        return result

    def divergence(self, real: Points, rng: np.random.Generator) -> float:
        """The Jensen-Shannon divergence in nats, 0 to log 2, from V(G, D*) = 2 JSD - 2 log 2."""
        noisy = [x + self.bandwidth * rng.standard_normal(x.shape) for x in (real, self.held_out)]
        on_real, on_fake = (self.discriminator(points) for points in noisy)
        return float(np.log(on_real).mean() + np.log(1 - on_fake).mean()) / 2 + float(np.log(2))


@torch.no_grad()
def _trained_discriminator(context: EvaluationContext, points: Points) -> npt.NDArray[np.float64]:
    """The trained discriminator's probability of "real" at `points` [N, D] in the data's coordinates."""
    gan = context.gan
    inputs = _tensor(points).to(gan.device) / gan.spec.scale
    logits = torch.cat([gan.discriminator(part, None) for part in inputs.split(MAX_SAMPLES)])
    probability: npt.NDArray[np.float64] = logits.sigmoid().double().cpu().numpy()
    return probability


def _pixel_centres(scale: float) -> Points:
    """The centres of a plot's pixels, row by row from the top, [SIDE * SIDE, 2]."""
    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    x, y = np.meshgrid(axis, -axis)
    return np.stack([x, y], axis=-1).reshape(-1, 2) * scale * MARGIN


def _heat_map(values: npt.NDArray[np.float64]) -> Tensor:
    """Map 0..1 to blue, white (1/2) and red, nan to grey: uint8 [3, SIDE, SIDE]."""
    share = np.nan_to_num(values, nan=0.5)[:, None]
    blue, white, red = np.array([33, 102, 172.0]), np.array([247, 247, 247.0]), np.array([178, 24, 43.0])
    colours = np.where(share < 0.5, blue + (white - blue) * 2 * share, white + (red - white) * (2 * share - 1))
    colours[np.isnan(values)] = 214
    return torch.from_numpy(colours.round().astype(np.uint8)).reshape(SIDE, SIDE, 3).permute(2, 0, 1)


def _side_by_side(panels: dict[str, Tensor], title_height: int = 24, gap: int = 12) -> Tensor:
    """Arrange square pictures uint8 [3, SIDE, SIDE] in a row, each below its title."""
    canvas = Image.new("RGB", (len(panels) * (SIDE + gap) - gap, SIDE + title_height), "white")
    for i, (title, panel) in enumerate(panels.items()):
        canvas.paste(Image.fromarray(panel.permute(1, 2, 0).numpy()), (i * (SIDE + gap), title_height))
        ImageDraw.Draw(canvas).text((i * (SIDE + gap) + 4, 5), title, fill="black")
    return torch.from_numpy(np.asarray(canvas).copy()).permute(2, 0, 1)


def _tensor(points: Points) -> Tensor:
    return torch.from_numpy(np.asarray(points, np.float32))
