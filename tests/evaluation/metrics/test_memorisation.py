from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from ganzoo.evaluation.metric import MetricResult
from ganzoo.evaluation.metrics.memorisation import (
    FeatureSpace,
    Memorisation,
    beta_binomial_quantile,
    nearest_distance_ratio,
)
from tests.evaluation.metrics.conftest import Workshop, blurred, noisy


def measured(workshop: Workshop, images: np.ndarray, **options: bool) -> MetricResult:
    return Memorisation().measure(workshop.context(images, **options))


def test_unseen_images_are_not_copies(workshop: Workshop) -> None:
    result = measured(workshop, workshop.good.images)
    assert result.verdict is not None
    assert result.verdict.startswith("No sign of memorisation: ")
    for name in ("copies_pixels", "copies_features"):
        assert result.values[name].value < 0.04
    nearest = result.values["nearest_pixels"]
    assert nearest.value == pytest.approx(nearest.real, rel=0.1)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_share_of_copies_is_found(workshop: Workshop, share: float) -> None:
    images = workshop.good.images.copy()
    count = round(share * len(images))
    images[:count] = workshop.train.images[:count]
    result = measured(workshop, images)
    assert result.values["copies_pixels"].value == pytest.approx(share, abs=0.04)
    assert result.verdict is not None
    assert result.verdict.startswith("COPIES OF TRAINING IMAGES")


def test_copies_with_little_noise_are_still_copies(workshop: Workshop) -> None:
    noise = np.random.default_rng(0).normal(0, 8, workshop.train.images.shape)
    images = (workshop.train.images + noise).clip(0, 255).astype(np.uint8)
    assert measured(workshop, images).values["copies_pixels"].value > 0.8


def test_bad_samples_are_not_called_copies(workshop: Workshop) -> None:
    for spoil in (noisy, blurred):
        assert measured(workshop, spoil(workshop.good.images)).values["copies_pixels"].value < 0.04


def test_without_a_test_split_training_images_are_compared_with_each_other(workshop: Workshop) -> None:
    good = measured(workshop, workshop.good.images, test=False)
    assert good.protocol["held_out"].endswith("train images")
    assert good.values["copies_pixels"].value < 0.04
    assert measured(workshop, workshop.train.images, test=False).values["copies_pixels"].value > 0.95


def test_the_picture_shows_samples_above_their_nearest_training_images(workshop: Workshop) -> None:
    result = measured(workshop, workshop.train.images)
    picture = result.pictures["memorisation"]
    assert picture.dtype == torch.uint8
    side = (picture.shape[1] - 2) // 4  # four rows, two per feature space
    assert torch.equal(picture[:, 2:side], picture[:, 2 + side : 2 * side])  # copies: both rows show the same


def test_the_ratio_compares_with_the_runners_up() -> None:
    torch.testing.assert_close(nearest_distance_ratio(torch.tensor([[1.0, 2, 4], [0, 0, 0]])), torch.tensor([1 / 3, 0]))


@pytest.mark.parametrize(("drawn", "held_out"), [(100, 2000), (500, 500)])
def test_images_like_the_held_out_ones_rarely_count_as_copies(drawn: int, held_out: int) -> None:
    rng = torch.Generator().manual_seed(0)

    def distances(count: int) -> torch.Tensor:
        return torch.rand(count, 50, generator=rng).sort(1).values

    spaces = [FeatureSpace(distances(drawn), torch.empty(0), distances(held_out)) for _ in range(300)]
    assert sum(space.copies > space.limit for space in spaces) <= 2  # expected: 0.3


def test_the_quantile_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for drawn, held_out in [(1, 1), (5000, 5000), *rng.integers(1, 5001, (60, 2)).tolist()]:
        rank = max(1, round(0.01 * held_out))
        expected = scipy.stats.betabinom.ppf(0.999, drawn, rank, held_out + 1 - rank)
        assert beta_binomial_quantile(0.999, drawn, rank, held_out + 1 - rank) == expected
