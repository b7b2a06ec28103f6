"""Precision, recall, density and coverage: are samples like real images, and are all real images met?"""

from __future__ import annotations

from torch import Tensor

from ganzoo.evaluation.context import Need, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric
from ganzoo.evaluation.metrics.neighbours import chunks, radii

NEIGHBOURS = 5
MOST = 10_000


class Coverage(Metric):
    name = "coverage"
    summary = "precision and density (are samples like real ones), recall and coverage (are all real ones met)"
    paper = "Kynkaanniemi et al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797"
    needs = (Need.IMAGES, Need.LABELS)
    least = 50

    def measure(self, subject: Subject) -> Finding:
        control = subject.control
        n = min(MOST, *map(len, subject.pools))  # radii shrink with the number of points, so all numbers are the same
        reference = subject.reference.features[:n]
        found = manifold_scores(reference, subject.samples.features[:n])
        real = manifold_scores(reference, control.features[:n]) if control else {}
        protocol = subject.protocol(neighbours=NEIGHBOURS, **subject.judge.protocol) | {"samples": n, "reference": n}
        return Finding({name: Figure(found[name], "higher", real.get(name)) for name in found}, protocol)


def manifold_scores(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> dict[str, float]:
    """precision, recall, density and coverage of features `fake` [M, D] against `real` [N, D].

    Around every point lies a ball as wide as the way to its k-th nearest neighbour of its own kind. precision: share
    of fake points in any real ball; density: in how many real balls a fake point lies, of k expected; recall: share of
    real points in any fake ball; coverage: share of real balls that hold a fake point.
    """
    real_radii, fake_radii = radii(real, k), radii(fake, k)
    inside = balls = reached = covered = 0
    for rows, distances in chunks(real, fake):
        reached += int((distances < fake_radii).any(1).sum())
        covered += int((distances < real_radii[rows, None]).any(1).sum())
    for _, distances in chunks(fake, real):
        in_balls = (distances < real_radii).sum(1)
        inside += int((in_balls > 0).sum())
        balls += int(in_balls.sum())
    return {
        "precision": inside / len(fake),
        "recall": reached / len(real),
        "density": balls / (k * len(fake)),
        "coverage": covered / len(real),
    }
