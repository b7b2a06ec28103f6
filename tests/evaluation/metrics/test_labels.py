from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from ganzoo.evaluation.metric import MetricResult
from ganzoo.evaluation.metrics.labels import ClassCoverage, ClassEntropy, CodePurity, LabelAccuracy, entropy, shares
from tests.evaluation.metrics.conftest import Workshop, few_modes


def test_label_accuracy_is_the_share_of_requested_classes(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None
    labels = good.labels.copy()
    assert LabelAccuracy().measure(workshop.context(good.images, labels)).values["label_accuracy"].value > 0.93
    labels[: len(labels) // 2] = (labels[: len(labels) // 2] + 1) % 10
    result = LabelAccuracy().measure(workshop.context(good.images, labels))
    assert result.values["label_accuracy"].value == pytest.approx(0.5, abs=0.06)
    assert result.values["label_accuracy"].real == workshop.feature_extractor.accuracy
    assert set(result.details["label_accuracy"]) == set("0123456789")


def test_class_coverage_names_the_collapsed_class(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None
    images = good.images.copy()
    threes = np.flatnonzero(good.labels == 3)
    images[threes] = images[threes[0]]
    result = ClassCoverage().measure(workshop.context(images, good.labels))
    assert result.verdict is not None
    assert result.verdict.startswith("Class 3 has the lowest coverage")
    assert result.values["class_coverage_min"].value < 0.3
    assert result.values["class_coverage"].value > 0.8
    assert result.details["class_coverage"]["3"] == result.values["class_coverage_min"].value


def test_class_coverage_needs_images_of_every_class(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None
    kept = good.labels != 3
    reason = ClassCoverage().inapplicable_reason(workshop.context(good.images[kept], good.labels[kept]))
    assert reason == "needs at least 10 samples of every class, but one class has 0"


def test_the_entropy_of_one_class_is_no_negative_zero() -> None:
    assert f"{entropy(np.array([0.0, 1.0])):.3f}" == "0.000"


def test_class_entropy_falls_when_classes_are_missing_and_names_them(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None
    whole = ClassEntropy().measure(workshop.context(good.images))
    assert whole.values["class_entropy"].value == pytest.approx(math.log(10), abs=0.02)
    assert whole.verdict is None
    lost = ClassEntropy().measure(workshop.context(few_modes(good.images, good.labels)))
    assert lost.values["class_entropy"].value < math.log(2) + 0.35
    assert lost.values["class_entropy"].real == pytest.approx(math.log(10), abs=0.02)
    assert lost.verdict is not None
    assert "3" in lost.verdict


def test_code_purity_of_permuted_classes_and_of_codes_with_two_classes(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None

    def measured(codes: npt.NDArray[np.int64]) -> MetricResult:
        context = workshop.context(good.images, codes)
        assert CodePurity().inapplicable_reason(context) == "needs a GAN that learns its own categories without labels"
        context.gan.spec = replace(context.gan.spec, classes=0)
        assert CodePurity().inapplicable_reason(context) is None
        assert ClassEntropy().inapplicable_reason(context) is None
        assert LabelAccuracy().inapplicable_reason(context) == "needs a conditional GAN"
        return CodePurity().measure(context)

    renamed = measured((good.labels + 3) % 10)
    assert renamed.values["code_purity"].value > 0.93
    assert renamed.details["class_of_code"]["3"] == "0"
    assert renamed.verdict is None
    mixed = measured(good.labels // 2)
    assert mixed.values["code_purity"].value == pytest.approx(0.5, abs=0.06)
    assert mixed.verdict is not None
    assert len(mixed.verdict.partition(": ")[2].split(", ")) == 5


def test_entropy_of_even_and_of_single_classes() -> None:
    assert entropy(shares(np.arange(8) % 4, 4)) == pytest.approx(math.log(4))
    assert entropy(shares(np.zeros(8, np.int64), 4)) == 0
