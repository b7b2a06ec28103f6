"""Classes: does a GAN draw the class it is asked for, all classes unasked, and do codes of its own tell them apart?"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ganzoo.evaluation.context import Need, Pool, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric
from ganzoo.evaluation.metrics.coverage import NEIGHBOURS, manifold_scores

FEWEST_OF_A_CLASS = 2 * NEIGHBOURS


class LabelAccuracy(Metric):
    name = "label_accuracy"
    summary = "share of samples in which the judge finds the class that was asked for"
    paper = "Shmelkov et al. 2018, arXiv:1807.09499 (GAN-test)"
    needs = (Need.IMAGES, Need.LABELS, Need.CONDITIONAL)
    least = 1

    def measure(self, subject: Subject) -> Finding:
        right = subject.samples.classes.numpy() == subject.samples.labels
        by_class = _by_class(subject, subject.samples.labels, right)
        figures = {"label_accuracy": Figure(float(right.mean()), "higher", subject.judge.accuracy)}
        return Finding(figures, subject.protocol(**subject.judge.protocol), {"label_accuracy": by_class})


class ClassCoverage(Metric):
    name = "class_coverage"
    summary = "coverage within each class: share of its real images near which a sample of it lies"
    paper = "Naeem et al. 2020, arXiv:2002.09797, class by class"
    needs = (Need.IMAGES, Need.LABELS, Need.CONDITIONAL)

    def measure(self, subject: Subject) -> Finding:
        control = subject.control
        counts = [int(n) for n in np.min([_counts(subject, pool) for pool in subject.pools], axis=0)]
        found = [self._coverage(subject, subject.samples, i, n) for i, n in enumerate(counts)]
        real = [self._coverage(subject, control, i, n) for i, n in enumerate(counts)] if control else None
        worst = int(np.argmin(found))
        names = subject.data.class_names
        figures = {
            "class_coverage": Figure(float(np.mean(found)), "higher", float(np.mean(real)) if real else None),
            "class_coverage_min": Figure(found[worst], "higher", min(real) if real else None),
        }
        protocol = subject.protocol(
            neighbours=NEIGHBOURS, images_of_a_class=[min(counts), max(counts)], **subject.judge.protocol
        )
        verdict = f"Least covered: class {names[worst]} ({found[worst]:.2f})."
        return Finding(figures, protocol, {"class_coverage": dict(zip(names, found))}, verdict)

    def why_not(self, subject: Subject) -> str | None:
        missing = super().why_not(subject)
        if missing:
            return missing
        for pool in (subject.samples, subject.reference):
            fewest = int(_counts(subject, pool).min())
            if fewest < FEWEST_OF_A_CLASS:
                return f"needs at least {FEWEST_OF_A_CLASS} {pool.what} of every class, but of one there are {fewest}"
        return None

    def _coverage(self, subject: Subject, pool: Pool, label: int, n: int) -> float:
        real = subject.reference.features[subject.reference.labels == label][:n]
        return manifold_scores(real, pool.features[pool.labels == label][:n])["coverage"]


class CodePurity(Metric):
    name = "code_purity"
    summary = "share of samples of the class that is the most frequent among those of their code"
    paper = "Manning et al. 2008, Introduction to Information Retrieval, section 16.3"
    needs = (Need.IMAGES, Need.LABELS, Need.CODES)

    def measure(self, subject: Subject) -> Finding:
        names, samples = subject.data.class_names, subject.samples
        assert samples.labels is not None
        found = np.zeros((subject.gan.classes, len(names)), dtype=np.int64)
        np.add.at(found, (samples.labels, samples.classes.numpy()), 1)
        commonest = {str(code): names[label] for code, label in enumerate(found.argmax(axis=1))}
        lost = sorted(set(names) - set(commonest.values()))
        verdict = f"No code has these as its most frequent class: {', '.join(lost[:10])}." if lost else None
        figures = {"code_purity": Figure(float(found.max(axis=1).sum() / len(samples)), "higher")}
        return Finding(figures, subject.protocol(**subject.judge.protocol), {"class_of_code": commonest}, verdict)


class ClassEntropy(Metric):
    name = "class_entropy"
    summary = "entropy, in nats, of the classes the judge finds in samples: lower than in real images, some are rare"
    paper = "Shannon 1948"
    needs = (Need.IMAGES, Need.LABELS, Need.UNCONDITIONAL)

    def measure(self, subject: Subject) -> Finding:
        names = subject.data.class_names
        found, real = (shares(pool.classes.numpy(), len(names)) for pool in (subject.samples, subject.reference))
        rare = [name for name, here, there in zip(names, found, real) if here < there / 10]
        some = ", ".join(rare[:10]) + (f" and {len(rare) - 10} more" if len(rare) > 10 else "")
        verdict = f"Missing, or ten times rarer than in real images: {some}." if rare else None
        figures = {"class_entropy": Figure(entropy(found), "real", entropy(real))}
        details = {"class_share": dict(zip(names, map(float, found)))}
        return Finding(figures, subject.protocol(**subject.judge.protocol), details, verdict)


def shares(classes: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """The share [count] of each class among `classes` [N]."""
    return np.bincount(classes, minlength=count) / len(classes)


def entropy(share: npt.NDArray[np.float64]) -> float:
    """-sum p log p, in nats."""
    held = share[share > 0]
    return float(-(held * np.log(held)).sum())


def _counts(subject: Subject, pool: Pool) -> npt.NDArray[np.int64]:
    assert pool.labels is not None
    return np.bincount(pool.labels, minlength=len(subject.data.class_names))


def _by_class(subject: Subject, labels: Any, right: npt.NDArray[np.bool_]) -> dict[str, float]:
    names = subject.data.class_names
    return {name: float(right[labels == i].mean()) for i, name in enumerate(names) if (labels == i).any()}
