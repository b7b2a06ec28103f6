"""Modes: does a GAN that learnt a mixture of Gaussians draw from all of them, and nothing between?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ganzoo.data.points import Mixture
from ganzoo.evaluation.context import Need, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric

SAMPLES = 2500
"""The published number: more samples find more modes."""
SIGMAS = 3.0


class Modes(Metric):
    name = "modes"
    summary = "modes of a mixture that samples lie in, and the share of samples that lie in any"
    paper = "Srivastava et al. 2017, arXiv:1705.07761; Lin et al. 2018, arXiv:1712.04086"
    needs = (Need.POINTS,)
    least = SAMPLES

    def measure(self, subject: Subject) -> Finding:
        mixture, control = subject.mixture, subject.control
        found = count_modes(subject.samples.first(SAMPLES).images, mixture)
        real = count_modes((control or subject.reference).first(SAMPLES).images, mixture)
        kl = [uniform_divergence(counts) for counts in (found, real)]
        figures = {
            "modes": Figure(float((found > 0).sum()), "higher", float(len(found))),
            "high_quality": Figure(float(found.sum() / SAMPLES), "higher", float(real.sum() / SAMPLES)),
            "mode_kl": Figure(kl[0], "lower", kl[1]),
        }
        missing = [", ".join(f"{x:g}" for x in mean) for mean, n in zip(mixture.means, found) if n == 0]
        verdict = f"No sample lies near the modes at ({'), ('.join(missing[:10])})." if missing else None
        protocol = {"samples": SAMPLES, "seed": subject.seed, "near": f"within {SIGMAS:g} standard deviations"}
        return Finding(figures, protocol, {"near_modes": found.tolist()}, verdict)


def count_modes(points: npt.NDArray[np.floating], mixture: Mixture, sigmas: float = SIGMAS) -> npt.NDArray[np.int64]:
    """How many of `points` [N, D] lie within `sigmas` standard deviations of a mean that is nearest to them: [K]."""
    distances = np.linalg.norm(np.asarray(points, np.float64)[:, None] - mixture.means, axis=2)
    near = distances.min(axis=1) <= sigmas * mixture.sigma
    return np.bincount(distances.argmin(axis=1)[near], minlength=len(mixture.means))


def uniform_divergence(counts: npt.NDArray[np.int64]) -> float:
    """KL(p || uniform) in nats, p being the shares of `counts` [K]; log K, the most there can be, where all are 0."""
    if not counts.sum():
        return float(np.log(len(counts)))
    held = counts[counts > 0] / counts.sum()
    return float((held * np.log(held * len(counts))).sum())
