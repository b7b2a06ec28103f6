from __future__ import annotations

import numpy as np
import pytest
import torch

from ganzoo.evaluation.metric import Finding
from ganzoo.evaluation.metrics.memorisation import Memorisation, Space, lead
from tests.evaluation.metrics.conftest import Workshop, blurred, noisy


def judged(workshop: Workshop, images: np.ndarray, **more: bool) -> Finding:
    return Memorisation().measure(workshop.subject(images, **more))


def test_images_never_seen_are_not_copies(workshop: Workshop) -> None:
    found = judged(workshop, workshop.good.images)
    assert found.verdict is not None
    assert found.verdict.startswith("No sign of copying")
    for name in ("copies_pixels", "copies_features"):
        assert found.figures[name].value < 0.04
    nearest = found.figures["nearest_pixels"]
    assert nearest.value == pytest.approx(nearest.real, rel=0.1)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_share_of_copies_is_found(workshop: Workshop, share: float) -> None:
    images = workshop.good.images.copy()
    count = round(share * len(images))
    images[:count] = workshop.train.images[:count]
    found = judged(workshop, images)
    assert found.figures["copies_pixels"].value == pytest.approx(share, abs=0.04)
    assert found.verdict is not None
    assert found.verdict.startswith("COPIES")


def test_copies_with_little_noise_are_still_copies(workshop: Workshop) -> None:
    noise = np.random.default_rng(0).normal(0, 8, workshop.train.images.shape)
    images = (workshop.train.images + noise).clip(0, 255).astype(np.uint8)
    assert judged(workshop, images).figures["copies_pixels"].value > 0.8


def test_bad_samples_are_not_called_copies(workshop: Workshop) -> None:
    for spoil in (noisy, blurred):
        assert judged(workshop, spoil(workshop.good.images)).figures["copies_pixels"].value < 0.04


def test_without_a_test_split_training_images_stand_in_each_without_itself(workshop: Workshop) -> None:
    good = judged(workshop, workshop.good.images, test=False)
    assert good.protocol["held_out"].endswith("train images")
    assert good.figures["copies_pixels"].value < 0.04
    assert judged(workshop, workshop.train.images, test=False).figures["copies_pixels"].value > 0.95


def test_the_picture_shows_samples_above_their_nearest_training_images(workshop: Workshop) -> None:
    found = judged(workshop, workshop.train.images)
    picture = found.pictures["memorisation"]
    assert picture.dtype == torch.uint8
    side = (picture.shape[1] - 2) // 4  # four rows, two a space
    assert torch.equal(picture[:, 2:side], picture[:, 2 + side : 2 * side])  # copies: both rows show the same


def test_the_lead_compares_with_the_runners_up() -> None:
    torch.testing.assert_close(lead(torch.tensor([[1.0, 2, 4], [0, 0, 0]])), torch.tensor([1 / 3, 0]))


@pytest.mark.parametrize(("drawn", "held_out"), [(100, 2000), (500, 500)])
def test_images_like_the_held_out_ones_are_not_called_copies_by_chance(drawn: int, held_out: int) -> None:
    rng = torch.Generator().manual_seed(0)

    def distances(count: int) -> torch.Tensor:
        return torch.rand(count, 50, generator=rng).sort(1).values

    spaces = [Space(distances(drawn), torch.empty(0), distances(held_out)) for _ in range(300)]
    assert sum(space.copies > space.limit for space in spaces) <= 2  # one in a thousand
