"""Mode coverage on mixtures of Gaussians: how many modes are found, and how many samples lie near one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ganzoo.data.points import Mixture
from ganzoo.evaluation.context import EvaluationContext, Need
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue

SAMPLES = 2500
"""The published number; more samples find more modes."""
SIGMAS = 3.0


class Modes(Metric):
    name = "modes"
    summary = "number of modes of a mixture that samples cover, and share of samples near a mode"
    paper = "Srivastava et al. 2017, arXiv:1705.07761; Lin et al. 2018, arXiv:1712.04086"
    needs = (Need.POINTS,)
    min_samples = SAMPLES

    def measure(self, context: EvaluationContext) -> MetricResult:
        mixture, control = context.mixture, (context.control or context.reference).first(SAMPLES)
        counts = count_modes(context.samples.first(SAMPLES).values, mixture)
        real = count_modes(control.values, mixture)
        values = {
            "modes": MetricValue(float((counts > 0).sum()), "higher", float(len(counts))),
            "high_quality": MetricValue(float(counts.sum() / SAMPLES), "higher", float(real.sum() / len(control))),
            "mode_kl": MetricValue(uniform_divergence(counts), "lower", uniform_divergence(real)),
        }
        missing = [", ".join(f"{x:.3g}" for x in mean.round(9) + 0.0) for mean in mixture.means[counts == 0]]
        verdict = f"No sample lies near the modes at ({'), ('.join(missing[:10])})." if missing else None
        protocol = {"samples": SAMPLES, "seed": context.seed, "near": f"within {SIGMAS:g} standard deviations"}
        return MetricResult(values, protocol, {"near_modes": counts.tolist()}, verdict)


def count_modes(points: npt.NDArray[np.floating], mixture: Mixture, sigmas: float = SIGMAS) -> npt.NDArray[np.int64]:
    """Count, for each mode [K], the `points` [N, D] nearest to its mean and within `sigmas` standard deviations."""
    distances = np.linalg.norm(np.asarray(points, np.float64)[:, None] - mixture.means, axis=2)
    near = distances.min(axis=1) <= sigmas * mixture.sigma
    return np.bincount(distances.argmin(axis=1)[near], minlength=len(mixture.means))


def uniform_divergence(counts: npt.NDArray[np.int64]) -> float:
    """KL(p || uniform) in nats, where p are the shares of `counts` [K]; its maximum, log K, if all counts are 0."""
    if not counts.sum():
        return float(np.log(len(counts)))
    share = counts[counts > 0] / counts.sum()
    return float((share * np.log(share * len(counts))).sum())
