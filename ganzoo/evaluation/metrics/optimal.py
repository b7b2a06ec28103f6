"""The optimal discriminator, where the density of the data is known: theory beside what was trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ganzoo.data.imaging import MARGIN, scatter
from ganzoo.data.points import Mixture
from ganzoo.evaluation.context import Need, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric
from ganzoo.losses import LOSSES

MOST = 10_000
SIDE = 360
NEGLIGIBLE = 1e-6
"""The share of the data's greatest density up to which a density counts as zero."""
EMPTY = 1e-3
"""Where both densities are below this share of the greatest, a plot shows no D*: the theory says nothing there."""

Points = npt.NDArray[np.floating[Any]]


class OptimalDiscriminator(Metric):
    name = "optimal_discriminator"
    summary = "Jensen-Shannon divergence of data and samples by D* = p/(p + q), and how far the trained D is from D*"
    paper = "Goodfellow et al. 2014, arXiv:1406.2661, proposition 1 and theorem 1"
    needs = (Need.POINTS, Need.UNCONDITIONAL)
    least = 1000

    def measure(self, subject: Subject) -> Finding:
        gan, mixture = subject.gan, subject.mixture
        rng = subject.rng(self.name)
        control = (subject.control or subject.reference).first(min(MOST, len(subject.samples)))
        samples = subject.samples.first(MOST).images
        real = subject.reference.first(len(samples)).images
        found, floor = Contest(mixture, samples), Contest(mixture, control.images)
        jsd, least = (contest.divergence(real, rng) for contest in (found, floor))
        figures = {"jsd": Figure(jsd, "lower", least)}
        details = {"value_at_optimum": 2 * jsd - 2 * float(np.log(2))}
        panels = {"real and generated": scatter(_tensor(samples), gan.spec.scale, _tensor(real), SIDE)}
        if mixture.means.shape[1] == 2:
            panels["optimal D* = p/(p+q)"] = _heat(found.optimum(_square(gan.spec.scale), EMPTY))
        if LOSSES[gan.config.loss].probability:  # other losses have another optimum
            either = np.concatenate([real[: len(samples)], samples])
            distance = np.abs(_belief(subject, either) - found.optimum(either)).mean()
            figures["discriminator_distance"] = Figure(float(distance), "lower")
            if mixture.means.shape[1] == 2:
                panels["trained D"] = _heat(_belief(subject, _square(gan.spec.scale)))
        protocol = {
            "samples": len(samples), "seed": subject.seed, "reference": len(real),
            "density": f"Gaussian kernels of bandwidth {mixture.sigma:g}; the data's density is smoothed by as much",
            "generator": "moving average",
        }  # fmt: skip
        return Finding(figures, protocol, details, pictures={"optimal-discriminator": _beside(panels)})


class Contest:
    """Data with a known density p against samples [N, D] whose density q is estimated by kernels.

    Both are smoothed with a Gaussian as wide as the mixture's own: p exactly, q by the kernels. So p = q still means
    D* = 1/2, and the divergence, which smoothing can only lower, errs towards zero.
    """

    def __init__(self, mixture: Mixture, samples: Points):
        from sklearn.neighbors import KernelDensity

        self.bandwidth = mixture.sigma
        self.data = Mixture(mixture.means, float(np.hypot(mixture.sigma, self.bandwidth)))
        self.held_out = samples[: len(samples) // 2]
        self.peak = float(self.data.density(self.data.means).max())
        # an absolute bound lets far kernels be skipped; relative to densities of nearly zero none could be
        kernels = KernelDensity(bandwidth=self.bandwidth, atol=NEGLIGIBLE * self.peak)
        self.kernels = kernels.fit(np.asarray(samples[len(samples) // 2 :], np.float64))

    def optimum(self, points: Points, empty: float = 0.0) -> npt.NDArray[np.float64]:
        """D* at `points` [N, D], float64 [N]; nan where both densities are below `empty` times the greatest of p."""
        p, q = self.data.density(points), np.exp(self.kernels.score_samples(np.asarray(points, np.float64)))
        tiny = NEGLIGIBLE * self.peak
        result: npt.NDArray[np.float64] = (p + tiny) / (p + q + 2 * tiny)  # far from everything it is 1/2
        result[np.maximum(p, q) < empty * self.peak] = np.nan
        return result

    def divergence(self, real: Points, rng: np.random.Generator) -> float:
        """The Jensen-Shannon divergence in nats, 0 to log 2, from V(G, D*) = 2 JSD - 2 log 2."""
        noisy = [x + self.bandwidth * rng.standard_normal(x.shape) for x in (real, self.held_out)]
        on_real, on_fake = (self.optimum(points) for points in noisy)
        return float(np.log(on_real).mean() + np.log(1 - on_fake).mean()) / 2 + float(np.log(2))


@torch.no_grad()
def _belief(subject: Subject, points: Points) -> npt.NDArray[np.float64]:
    """The trained discriminator's probability of "real" at `points` [N, D] in the data's coordinates."""
    gan = subject.gan
    seen = _tensor(points).to(gan.device) / gan.spec.scale
    logits = torch.cat([gan.discriminator(part, None) for part in seen.split(MOST)])
    belief: npt.NDArray[np.float64] = logits.sigmoid().double().cpu().numpy()
    return belief


def _square(scale: float) -> Points:
    """The centres of a plot's pixels, row by row from the top, [SIDE * SIDE, 2]."""
    axis = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    x, y = np.meshgrid(axis, -axis)
    return np.stack([x, y], axis=-1).reshape(-1, 2) * scale * MARGIN


def _heat(values: npt.NDArray[np.float64]) -> Tensor:
    """0..1 as blue over white at 1/2 to red, nan as grey: uint8 [3, SIDE, SIDE]."""
    share = np.nan_to_num(values, nan=0.5)[:, None]
    blue, white, red = np.array([33, 102, 172.0]), np.array([247, 247, 247.0]), np.array([178, 24, 43.0])
    colours = np.where(share < 0.5, blue + (white - blue) * 2 * share, white + (red - white) * (2 * share - 1))
    colours[np.isnan(values)] = 214
    return torch.from_numpy(colours.round().astype(np.uint8)).reshape(SIDE, SIDE, 3).permute(2, 0, 1)


def _beside(panels: dict[str, Tensor], head: int = 24, gap: int = 12) -> Tensor:
    """Square pictures uint8 [3, SIDE, SIDE] in a row, each below its title."""
    canvas = Image.new("RGB", (len(panels) * (SIDE + gap) - gap, SIDE + head), "white")
    for i, (title, panel) in enumerate(panels.items()):
        canvas.paste(Image.fromarray(panel.permute(1, 2, 0).numpy()), (i * (SIDE + gap), head))
        ImageDraw.Draw(canvas).text((i * (SIDE + gap) + 4, 5), title, fill="black")
    return torch.from_numpy(np.asarray(canvas).copy()).permute(2, 0, 1)


def _tensor(points: Points) -> Tensor:
    return torch.from_numpy(np.asarray(points, np.float32))
