"""Precision, recall, density and coverage: fidelity and diversity of samples by nearest neighbours."""

from __future__ import annotations

from torch import Tensor

from ganzoo.evaluation.context import EvaluationContext, Need
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue
from ganzoo.evaluation.metrics.neighbours import chunks, radii

NEIGHBOURS = 5
MAX_SAMPLES = 10_000


class Coverage(Metric):
    name = "coverage"
    summary = (
        "precision and density (do samples look real), recall and coverage (is all the variety of real images there)"
    )
    paper = "Kynkaanniemi et al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797"
    needs = (Need.IMAGES, Need.LABELS)
    min_samples = 50

    def measure(self, context: EvaluationContext) -> MetricResult:
        control = context.control
        n = min(MAX_SAMPLES, *map(len, context.sample_sets))  # equal counts: radii shrink with the number of points
        reference = context.reference.features[:n]
        scores = manifold_scores(reference, context.samples.features[:n])
        real = manifold_scores(reference, control.features[:n]) if control else {}
        protocol = context.protocol(neighbours=NEIGHBOURS, **context.feature_extractor.protocol) | {
            "samples": n, "reference": n,
        }  # fmt: skip
        return MetricResult({name: MetricValue(scores[name], "higher", real.get(name)) for name in scores}, protocol)


def manifold_scores(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> dict[str, float]:
    """Return precision, recall, density and coverage of features `fake` [M, D] against `real` [N, D].

    Each point is the centre of a ball that reaches to its k-th nearest neighbour in its own set. precision: share of
    fake points inside any real ball. density: mean number of real balls that contain a fake point, divided by k.
    recall: share of real points inside any fake ball. coverage: share of real balls that contain a fake point.
    """
    real_radii, fake_radii = radii(real, k), radii(fake, k)
    precise = in_balls = recalled = covered = 0
    for rows, distances in chunks(real, fake):
        recalled += int((distances < fake_radii).any(1).sum())
        covered += int((distances < real_radii[rows, None]).any(1).sum())
    for _, distances in chunks(fake, real):
        balls = (distances < real_radii).sum(1)
        precise += int((balls > 0).sum())
        in_balls += int(balls.sum())
    return {
        "precision": precise / len(fake),
        "recall": recalled / len(real),
        "density": in_balls / (k * len(fake)),
        "coverage": covered / len(real),
    }
