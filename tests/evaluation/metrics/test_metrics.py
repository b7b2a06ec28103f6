"""Requirements of every metric: discovery, description, and worse values for worse samples."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganzoo.core.errors import PluginError, UsageError
from ganzoo.evaluation.metrics import Metric, MetricResult, MetricValue, Need, all_metrics, get_metrics
from tests.conftest import Site
from tests.evaluation.metrics.conftest import Images, Workshop, blurred, few_images, few_modes, noisy

SAMPLES_AGAINST_REAL = ("frechet", "kid", "swd", "ms_ssim")
"""Metrics with a single value that measures the distance of samples from real images."""


def distance(value: MetricValue) -> float:
    """A score that is higher the worse the value is."""
    if value.better == "real":
        assert value.real is not None
        return abs(value.value - value.real)
    return value.value if value.better == "lower" else -value.value


@pytest.mark.parametrize("metric", all_metrics().values(), ids=lambda m: m.name)
def test_a_metric_describes_itself(metric: Metric) -> None:
    assert metric.name.replace("_", "").isalnum()
    assert metric.summary
    assert metric.paper
    assert all(isinstance(need, Need) for need in metric.needs)
    assert type(metric).measure is not Metric.measure


DOCUMENTATION = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_documentation_has_a_row_for_every_metric() -> None:
    table = DOCUMENTATION.partition("## All metrics")[2].partition("## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)`( \*)? \|", table, flags=re.MULTILINE))
    assert {name: not star for name, star in rows.items()} == {
        name: metric.default for name, metric in all_metrics().items()
    }


def test_the_documented_metric_is_found_by_its_entry_point(
    workshop: Workshop, site: Site, install: Callable[[Site], None]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENTATION, flags=re.DOTALL)
    site.add("ganzoo-mine", example, metrics={"brightness": "Brightness"})
    site.add("thief", example, metrics={"fid": "Brightness"})
    install(site)
    context = workshop.context(workshop.good.images)
    (metric,) = get_metrics(["brightness"])
    (value,) = metric.measure(context).values.values()
    assert value.value == pytest.approx(workshop.good.images.mean())
    assert value.real == pytest.approx(workshop.test.images.mean())
    assert get_metrics(["thief:fid"])[0].name == "thief:fid"
    assert get_metrics(["fid"])[0].summary != metric.summary


def test_a_broken_metric_breaks_itself_alone(
    site: Site, install: Callable[[Site], None], caplog: pytest.LogCaptureFixture
) -> None:
    known = set(all_metrics())
    site.add("stuck", 'raise RuntimeError("stuck")', metrics={"stuck": "X"})
    site.add("no-metric", "class X: pass", metrics={"no_metric": "X"})
    install(site)
    assert [metric.name for metric in get_metrics(["swd"])] == ["swd"]
    assert caplog.text == ""
    assert set(all_metrics()) == known
    assert "The metric 'stuck' from stuck 1.0 cannot be used: RuntimeError: stuck" in caplog.text
    with pytest.raises(PluginError, match=r"must be a subclass of .*Metric, but is the class X"):
        get_metrics(["no_metric"])


def test_metrics_are_found_by_name() -> None:
    assert [metric.name for metric in get_metrics(["kid", "frechet", "kid"])] == ["kid", "frechet"]
    with pytest.raises(UsageError, match=r"No metric is called 'freshet'. Did you mean frechet"):
        get_metrics(["freshet"])


@pytest.mark.parametrize("conditional", [True, False])
def test_every_applicable_metric_returns_a_complete_result(workshop: Workshop, conditional: bool) -> None:
    context = workshop.context(workshop.good.images, workshop.good.labels if conditional else None)
    measured = []
    for name, metric in all_metrics().items():
        if metric.inapplicable_reason(context) is None and metric.default:
            result = metric.measure(context)
            measured.append(name)
            assert result.values
            for value in result.values.values():
                assert math.isfinite(value.value)
                assert value.real is None or math.isfinite(value.real)
            assert {"samples", "reference", "split", "seed", "resize"} <= set(result.protocol)
            if Need.LABELS in metric.needs:
                assert result.protocol["extractor_accuracy"] == workshop.feature_extractor.accuracy
            json.dumps([result.protocol, result.details])
    assert set(SAMPLES_AGAINST_REAL) <= set(measured)
    assert ("label_accuracy" in measured) == conditional
    assert ("class_entropy" in measured) != conditional


@pytest.mark.parametrize("name", SAMPLES_AGAINST_REAL)
def test_a_distance_of_good_samples_is_near_that_of_real_images(workshop: Workshop, name: str) -> None:
    good = value_of(workshop, name, workshop.good.images)
    bad = value_of(workshop, name, few_images(workshop.good.images))
    assert good.real is not None
    assert abs(good.value - good.real) < 0.2 * abs(bad.value - good.real)


@pytest.mark.parametrize("name", SAMPLES_AGAINST_REAL)
@pytest.mark.parametrize("spoil", [noisy, blurred, few_modes, few_images], ids=lambda f: f.__name__)
def test_worse_samples_score_worse(workshop: Workshop, name: str, spoil: Callable[..., Images]) -> None:
    extra: tuple[Any, ...] = (workshop.good.labels,) if spoil is few_modes else ()
    good = value_of(workshop, name, workshop.good.images)
    assert distance(value_of(workshop, name, spoil(workshop.good.images, *extra))) > distance(good)


def test_the_same_seed_gives_the_same_values(workshop: Workshop) -> None:
    for name in SAMPLES_AGAINST_REAL:
        first, again = (value_of(workshop, name, workshop.good.images) for _ in range(2))
        assert first == again


def test_the_reference_can_be_the_training_split(workshop: Workshop) -> None:
    context = workshop.context(workshop.good.images, reference="train")
    result = all_metrics()["frechet"].measure(context)
    assert result.protocol["split"] == "train"
    assert result.protocol["reference"] == len(workshop.train)


def test_without_a_test_split_there_is_no_score_of_real_data(workshop: Workshop) -> None:
    for name in ("frechet", "kid", "swd", "coverage"):
        result = all_metrics()[name].measure(workshop.context(workshop.good.images, test=False))
        assert result.protocol["split"] == "train"
        assert all(value.real is None for value in result.values.values())


def test_too_few_samples_are_refused(workshop: Workshop) -> None:
    reason = all_metrics()["frechet"].inapplicable_reason(workshop.context(workshop.good.images[:100]))
    assert reason == "needs at least 256 samples, but there are 100"


def test_small_images_have_no_pyramid(workshop: Workshop) -> None:
    small = np.ascontiguousarray(workshop.good.images[:, :, :8, :8])
    reason = all_metrics()["swd"].inapplicable_reason(workshop.context(small))
    assert reason == "needs images of at least 16 pixels a side, but these have 8"


def value_of(workshop: Workshop, name: str, images: Images) -> MetricValue:
    result: MetricResult = all_metrics()[name].measure(workshop.context(images))
    return result.values[name]
