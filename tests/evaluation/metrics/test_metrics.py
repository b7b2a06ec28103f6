"""What holds for every metric: how it is found, what it says of itself, and that worse samples score worse."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo.core.errors import UsageError
from ganzoo.evaluation.metrics import Figure, Finding, Metric, Need, metrics, named
from tests.evaluation.metrics.conftest import Images, Workshop, blurred, few_images, few_modes, noisy

SAMPLES_AGAINST_REAL = ("frechet", "kid", "swd", "ms_ssim")
"""Metrics of one figure that says how far samples are from real images."""


def distance(figure: Figure) -> float:
    """How bad a figure is."""
    if figure.better == "real":
        assert figure.real is not None
        return abs(figure.value - figure.real)
    return figure.value if figure.better == "lower" else -figure.value


@pytest.mark.parametrize("metric", metrics().values(), ids=lambda m: m.name)
def test_a_metric_says_what_it_is(metric: Metric) -> None:
    assert metric.name.replace("_", "").isalnum()
    assert metric.summary
    assert metric.paper
    assert all(isinstance(need, Need) for need in metric.needs)
    assert type(metric).measure is not Metric.measure


def test_the_documentation_names_every_metric_and_its_example_works(workshop: Workshop) -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    for name in metrics():
        assert f"| `{name}` |" in text
    scope: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], scope)
    found = scope["Brightness"]().measure(workshop.subject(workshop.test.images))
    assert found.figures["brightness"].value == found.figures["brightness"].real


def test_metrics_are_found_by_name() -> None:
    assert [metric.name for metric in named(["kid", "frechet", "kid"])] == ["kid", "frechet"]
    with pytest.raises(UsageError, match=r"No metric is called 'freshet'. Did you mean frechet"):
        named(["freshet"])


@pytest.mark.parametrize("conditional", [True, False])
def test_every_metric_that_applies_hands_back_a_whole_finding(workshop: Workshop, conditional: bool) -> None:
    subject = workshop.subject(workshop.good.images, workshop.good.labels if conditional else None)
    measured = []
    for name, metric in metrics().items():
        if metric.why_not(subject) is None and metric.by_default:
            finding = metric.measure(subject)
            measured.append(name)
            assert finding.figures
            for figure in finding.figures.values():
                assert math.isfinite(figure.value)
                assert figure.real is None or math.isfinite(figure.real)
            assert {"samples", "reference", "split", "seed", "resize"} <= set(finding.protocol)
            if Need.LABELS in metric.needs:
                assert finding.protocol["extractor_accuracy"] == workshop.judge.accuracy
            json.dumps([finding.protocol, finding.details])
    assert set(SAMPLES_AGAINST_REAL) <= set(measured)
    assert ("label_accuracy" in measured) == conditional
    assert ("class_entropy" in measured) != conditional


@pytest.mark.parametrize("name", SAMPLES_AGAINST_REAL)
def test_a_distance_of_good_samples_is_near_that_of_real_images(workshop: Workshop, name: str) -> None:
    good = figure_of(workshop, name, workshop.good.images)
    bad = figure_of(workshop, name, few_images(workshop.good.images))
    assert good.real is not None
    assert abs(good.value - good.real) < 0.2 * abs(bad.value - good.real)


@pytest.mark.parametrize("name", SAMPLES_AGAINST_REAL)
@pytest.mark.parametrize("spoil", [noisy, blurred, few_modes, few_images], ids=lambda f: f.__name__)
def test_worse_samples_score_worse(workshop: Workshop, name: str, spoil: Callable[..., Images]) -> None:
    extra: tuple[Any, ...] = (workshop.good.labels,) if spoil is few_modes else ()
    good = figure_of(workshop, name, workshop.good.images)
    assert distance(figure_of(workshop, name, spoil(workshop.good.images, *extra))) > distance(good)


def test_the_same_seed_gives_the_same_figures(workshop: Workshop) -> None:
    for name in SAMPLES_AGAINST_REAL:
        first, again = (figure_of(workshop, name, workshop.good.images) for _ in range(2))
        assert first == again


def test_the_reference_can_be_the_training_split(workshop: Workshop) -> None:
    subject = workshop.subject(workshop.good.images, reference="train")
    finding = metrics()["frechet"].measure(subject)
    assert finding.protocol["split"] == "train"
    assert finding.protocol["reference"] == len(workshop.train)


def test_without_a_test_split_nothing_says_what_real_data_score(workshop: Workshop) -> None:
    for name in ("frechet", "kid", "swd", "coverage"):
        finding = metrics()[name].measure(workshop.subject(workshop.good.images, test=False))
        assert finding.protocol["split"] == "train"
        assert all(figure.real is None for figure in finding.figures.values())


def test_too_few_samples_are_refused(workshop: Workshop) -> None:
    why = metrics()["frechet"].why_not(workshop.subject(workshop.good.images[:100]))
    assert why == "needs at least 256 samples, but there are 100"


def test_small_images_have_no_pyramid(workshop: Workshop) -> None:
    small = np.ascontiguousarray(workshop.good.images[:, :, :8, :8])
    assert metrics()["swd"].why_not(workshop.subject(small)) is not None


def figure_of(workshop: Workshop, name: str, images: Images) -> Figure:
    finding: Finding = metrics()[name].measure(workshop.subject(images))
    return finding.figures[name]
