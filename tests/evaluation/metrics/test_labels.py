from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from ganzoo.evaluation.metric import Finding
from ganzoo.evaluation.metrics.labels import ClassCoverage, ClassEntropy, CodePurity, LabelAccuracy, entropy, shares
from tests.evaluation.metrics.conftest import Workshop, few_modes


def test_label_accuracy_counts_what_the_judge_finds(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None
    labels = good.labels.copy()
    assert LabelAccuracy().measure(workshop.subject(good.images, labels)).figures["label_accuracy"].value > 0.93
    labels[: len(labels) // 2] = (labels[: len(labels) // 2] + 1) % 10
    found = LabelAccuracy().measure(workshop.subject(good.images, labels))
    assert found.figures["label_accuracy"].value == pytest.approx(0.5, abs=0.06)
    assert found.figures["label_accuracy"].real == workshop.judge.accuracy
    assert set(found.details["label_accuracy"]) == set("0123456789")


def test_class_coverage_names_the_class_that_collapsed(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None
    images = good.images.copy()
    threes = np.flatnonzero(good.labels == 3)
    images[threes] = images[threes[0]]
    found = ClassCoverage().measure(workshop.subject(images, good.labels))
    assert found.verdict is not None
    assert found.verdict.startswith("Least covered: class 3")
    assert found.figures["class_coverage_min"].value < 0.3
    assert found.figures["class_coverage"].value > 0.8
    assert found.details["class_coverage"]["3"] == found.figures["class_coverage_min"].value


def test_class_coverage_needs_images_of_every_class(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None
    kept = good.labels != 3
    why = ClassCoverage().why_not(workshop.subject(good.images[kept], good.labels[kept]))
    assert why == "needs at least 10 samples of every class, but of one there are 0"


def test_class_entropy_falls_when_classes_are_lost_and_names_them(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None
    whole = ClassEntropy().measure(workshop.subject(good.images))
    assert whole.figures["class_entropy"].value == pytest.approx(math.log(10), abs=0.02)
    assert whole.verdict is None
    lost = ClassEntropy().measure(workshop.subject(few_modes(good.images, good.labels)))
    assert lost.figures["class_entropy"].value < math.log(2) + 0.35
    assert lost.figures["class_entropy"].real == pytest.approx(math.log(10), abs=0.02)
    assert lost.verdict is not None
    assert "3" in lost.verdict


def test_code_purity_of_codes_that_are_classes_under_other_names_and_of_codes_that_mix_two(workshop: Workshop) -> None:
    good = workshop.good
    assert good.labels is not None

    def judged(codes: npt.NDArray[np.int64]) -> Finding:
        subject = workshop.subject(good.images, codes)
        assert CodePurity().why_not(subject) == "needs a GAN with categories of its own, found without labels"
        subject.gan.spec = replace(subject.gan.spec, classes=0)
        assert CodePurity().why_not(subject) is None
        assert ClassEntropy().why_not(subject) is None
        assert LabelAccuracy().why_not(subject) == "needs a conditional GAN"
        return CodePurity().measure(subject)

    renamed = judged((good.labels + 3) % 10)
    assert renamed.figures["code_purity"].value > 0.93
    assert renamed.details["class_of_code"]["3"] == "0"
    assert renamed.verdict is None
    mixed = judged(good.labels // 2)
    assert mixed.figures["code_purity"].value == pytest.approx(0.5, abs=0.06)
    assert mixed.verdict is not None
    assert len(mixed.verdict.partition(": ")[2].split(", ")) == 5


def test_entropy_of_even_and_of_single_classes() -> None:
    assert entropy(shares(np.arange(8) % 4, 4)) == pytest.approx(math.log(4))
    assert entropy(shares(np.zeros(8, np.int64), 4)) == 0
