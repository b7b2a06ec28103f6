"""Metrics of classes: label accuracy, coverage of each class, class entropy, purity of learnt codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ganzoo.core.spec import UNKNOWN_LABEL
from ganzoo.evaluation.context import EvaluationContext, Need, SampleSet
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue
from ganzoo.evaluation.metrics.coverage import NEIGHBOURS, manifold_scores

MIN_PER_CLASS = 2 * NEIGHBOURS
MAX_LISTED = 10


class LabelAccuracy(Metric):
    name = "label_accuracy"
    summary = "share of samples that the classifier assigns to the requested class"
    paper = "Shmelkov et al. 2018, arXiv:1807.09499 (GAN-test)"
    needs = (Need.IMAGES, Need.LABELS, Need.CONDITIONAL)
    min_samples = 1

    def measure(self, context: EvaluationContext) -> MetricResult:
        correct = context.samples.classes.numpy() == context.samples.labels
        by_class = _by_class(context, context.samples.labels, correct)
        values = {"label_accuracy": MetricValue(float(correct.mean()), "higher", context.feature_extractor.accuracy)}
        protocol = context.protocol(**context.feature_extractor.protocol)
        return MetricResult(values, protocol, {"label_accuracy": by_class})


class ClassCoverage(Metric):
    name = "class_coverage"
    summary = "coverage within each class: share of its real images with a sample of the class nearby"
    paper = "Naeem et al. 2020, arXiv:2002.09797, for each class"
    needs = (Need.IMAGES, Need.LABELS, Need.CONDITIONAL)

    def measure(self, context: EvaluationContext) -> MetricResult:
        control = context.control
        if control is not None and _fewest(context, control) < MIN_PER_CLASS:
            control = None
        sides = [context.samples, context.reference, *([control] if control else [])]
        counts = [int(n) for n in np.min([_counts(context, images) for images in sides], axis=0)]
        scores = [self._coverage(context, context.samples, i, n) for i, n in enumerate(counts)]
        real = [self._coverage(context, control, i, n) for i, n in enumerate(counts)] if control else None
        worst = int(np.argmin(scores))
        names = context.data.class_names
        values = {
            "class_coverage": MetricValue(float(np.mean(scores)), "higher", float(np.mean(real)) if real else None),
            "class_coverage_min": MetricValue(scores[worst], "higher", min(real) if real else None),
        }
        protocol = context.protocol(
            neighbours=NEIGHBOURS, images_of_a_class=[min(counts), max(counts)], **context.feature_extractor.protocol
        )
        verdict = f"Class {names[worst]} has the lowest coverage ({scores[worst]:.2f})."
        return MetricResult(values, protocol, {"class_coverage": dict(zip(names, scores))}, verdict)

    def inapplicable_reason(self, context: EvaluationContext) -> str | None:
        reason = super().inapplicable_reason(context)
        if reason:
            return reason
        for images in (context.samples, context.reference):
            fewest = _fewest(context, images)
            if fewest < MIN_PER_CLASS:
                return f"needs at least {MIN_PER_CLASS} {images.name} of every class, but one class has {fewest}"
        return None

    def _coverage(self, context: EvaluationContext, images: SampleSet, label: int, n: int) -> float:
        real = context.reference.features[context.reference.labels == label][:n]
        return manifold_scores(real, images.features[images.labels == label][:n])["coverage"]


class CodePurity(Metric):
    name = "code_purity"
    summary = "share of samples that belong to the most frequent class of their code"
    paper = "Manning et al. 2008, Introduction to Information Retrieval, section 16.3"
    needs = (Need.IMAGES, Need.LABELS, Need.CODES)

    def measure(self, context: EvaluationContext) -> MetricResult:
        names, samples = context.data.class_names, context.samples
        assert samples.labels is not None
        counts = np.zeros((context.gan.classes, len(names)), dtype=np.int64)
        np.add.at(counts, (samples.labels, samples.classes.numpy()), 1)
        most_frequent = {str(code): names[label] for code, label in enumerate(counts.argmax(axis=1))}
        missing = sorted(set(names) - set(most_frequent.values()))
        verdict = f"Classes that are not the most frequent of any code: {_listed(missing)}." if missing else None
        values = {"code_purity": MetricValue(float(counts.max(axis=1).sum() / len(samples)), "higher")}
        protocol = context.protocol(**context.feature_extractor.protocol)
        return MetricResult(values, protocol, {"class_of_code": most_frequent}, verdict)


class ClassEntropy(Metric):
    name = "class_entropy"
    summary = "entropy, in nats, of the predicted classes of samples; below that of real images some classes are rare"
    paper = "Shannon 1948"
    needs = (Need.IMAGES, Need.LABELS, Need.UNCONDITIONAL)

    def measure(self, context: EvaluationContext) -> MetricResult:
        names = context.data.class_names
        of_samples, of_real = (
            shares(images.classes.numpy(), len(names)) for images in (context.samples, context.reference)
        )
        rare = [name for name, sampled, real in zip(names, of_samples, of_real) if sampled < real / 10]
        verdict = f"Missing, or ten times rarer than in real images: {_listed(rare)}." if rare else None
        values = {"class_entropy": MetricValue(entropy(of_samples), "real", entropy(of_real))}
        details = {"class_share": dict(zip(names, map(float, of_samples)))}
        return MetricResult(values, context.protocol(**context.feature_extractor.protocol), details, verdict)


def shares(classes: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """Return the share [count] of each class among `classes` [N]."""
    return np.bincount(classes, minlength=count) / len(classes)


def entropy(share: npt.NDArray[np.float64]) -> float:
    """-sum p log p, in nats."""
    positive = share[share > 0]
    return 0.0 - float((positive * np.log(positive)).sum())  # 0, not -0, if there is only one class


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + rest


def _counts(context: EvaluationContext, images: SampleSet) -> npt.NDArray[np.int64]:
    """The number of images of each class, without those whose class is unknown."""
    assert images.labels is not None
    return np.bincount(images.labels[images.labels != UNKNOWN_LABEL], minlength=len(context.data.class_names))


def _fewest(context: EvaluationContext, images: SampleSet) -> int:
    """The number of images of the class that has the fewest."""
    return int(_counts(context, images).min())


def _by_class(context: EvaluationContext, labels: Any, correct: npt.NDArray[np.bool_]) -> dict[str, float]:
    names = context.data.class_names
    return {name: float(correct[labels == i].mean()) for i, name in enumerate(names) if (labels == i).any()}
