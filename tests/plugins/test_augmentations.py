"""The built-in augmentations: the numbers of their papers and of the authors' code."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from ganzoo_plugins.augmentations import diffaugment
from ganzoo_plugins.augmentations.ada import ADA, colours, geometry, resample
from torch import Tensor

import ganzoo
from ganzoo.augmentations import get_augmentation
from ganzoo.core import registry
from ganzoo.core.entry_points import AUGMENTATIONS
from tests.runs import assert_same, last_state

N = 2000


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("name", registry.names(AUGMENTATIONS))
def test_it_keeps_the_shape_and_can_be_differentiated_twice(name: str) -> None:
    augment = get_augmentation(name)
    assert augment is not None
    if isinstance(augment, ADA):
        augment.p.fill_(0.8)
    for channels in (1, 3, 4):
        images = (torch.rand(6, channels, 12, 12) * 2 - 1).requires_grad_()
        result = augment(images, rng())
        assert result.shape == images.shape
        assert not torch.equal(result, images)
        (gradient,) = torch.autograd.grad(result.square().sum(), images, create_graph=True)
        gradient.square().sum().backward()
        assert images.grad is not None
        assert images.grad.isfinite().all()


def test_half_of_the_images_are_mirrored() -> None:
    images = torch.tensor([0.0, 1.0]).expand(N, 1, 1, 2)
    assert diffaugment.flip(images, rng())[:, 0, 0, 0].mean().item() == pytest.approx(0.5, abs=0.05)


def test_noise_has_a_deviation_of_a_tenth_and_any_shape() -> None:
    for shape in ((200, 3, 8, 8), (2000, 2), (20, 1, 1000)):
        added = get_augmentation("noise")(torch.full(shape, 0.5), rng()) - 0.5  # type: ignore[misc]
        assert added.mean().item() == pytest.approx(0, abs=0.005)
        assert added.std().item() == pytest.approx(0.1, abs=0.005)


def test_colours_change_by_the_published_ranges() -> None:
    grey = torch.full((N, 3, 4, 4), 0.25)  # saturation and contrast leave a plain grey as it is
    brightness = diffaugment.color(grey, rng())[:, 0, 0, 0] - 0.25
    assert -0.5 <= brightness.min() < -0.49
    assert 0.49 < brightness.max() <= 0.5
    stripes = torch.tensor([-0.5, 0.5]).expand(N, 3, 4, 2)  # grey, so that saturation has no effect
    result = diffaugment.color(stripes, rng())[:, 0, 0]
    contrast = result[:, 1] - result[:, 0]
    assert 0.5 <= contrast.min() < 0.51
    assert 1.49 < contrast.max() <= 1.5
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(N, 3, 1, 1)
    result = diffaugment.color(red, rng())[:, :, 0, 0]
    ratio = (result[:, 0] - result[:, 1]).sort().values
    assert 0 <= ratio[0] < 0.02
    assert 2.5 < ratio[-1] < 3  # saturation up to 2 times contrast up to 1.5


@pytest.mark.parametrize(("side", "most"), [(32, 4), (64, 8), (28, 4)])
def test_translation_moves_by_up_to_an_eighth_and_zeros_come_in(side: int, most: int) -> None:
    images = torch.ones(N // 4, 1, side, side)
    images[:, :, side // 2, side // 2] = 5
    moved = diffaugment.translation(images, rng())
    rows, columns = ((moved[:, 0] == 5).any(axis).int().argmax(1) - side // 2 for axis in (2, 1))
    for shift in (rows, columns):
        assert set(shift.tolist()) == set(range(-most, most + 1))
    zeros = (moved == 0).flatten(1).sum(1)
    assert torch.equal(zeros, side * side - (side - rows.abs()) * (side - columns.abs()))


@pytest.mark.parametrize("side", [32, 28])
def test_cutout_is_half_a_side_wide_and_cut_off_at_the_edge(side: int) -> None:
    hole = diffaugment.cutout(torch.ones(N, 1, side, side), rng())[:, 0] == 0
    heights = hole.any(2).sum(1)
    assert (heights.min(), heights.max()) == (side // 4, side // 2)
    assert torch.equal(hole.sum((1, 2)), heights * hole.any(1).sum(1))
    assert hole[:, 0].any()
    assert hole[:, -1].any()


def test_ada_does_nothing_while_p_is_0() -> None:
    images = torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(ADA()(images, rng()), images)


def test_p_changes_every_fourth_batch_by_the_published_step() -> None:
    ada = ADA()
    for sign, steps in ((1.0, 8), (0.5, 4)):
        for _ in range(steps):
            ada.adapt(torch.tensor(sign), 64)
    assert ada.p.item() == pytest.approx(0.000512)  # two steps up, one down
    for _ in range(8):
        ada.adapt(torch.tensor(-1.0), 64)
    assert ada.p.item() == 0
    ada.p.fill_(0.9999)
    for _ in range(4):
        ada.adapt(torch.tensor(1.0), 64)
    assert ada.p.item() == 1


def test_resampling_equals_grid_sample() -> None:
    images, places = torch.randn(3, 2, 7, 9), torch.rand(3, 5, 6, 2, generator=rng()) * 4 - 2
    expected = F.grid_sample(images, places, padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(resample(images, places), expected)


def test_each_step_of_the_geometry_acts_with_probability_p() -> None:
    u, n = torch.rand(N, 12, generator=rng()), torch.randn(N, 4, generator=rng())
    shape = torch.Size((32, 32))
    torch.testing.assert_close(geometry(u, n, torch.zeros(()), shape), torch.eye(3).expand(N, 3, 3))
    maps = geometry(u, n, torch.tensor(0.5), shape)
    mirrored = torch.linalg.det(maps) < 0
    assert mirrored.float().mean().item() == pytest.approx(0.25, abs=0.03)  # half of a half
    only = u.clone()
    only[:, [0, 2, 4, 8, 9, 10, 11]] = 1  # the scale alone
    scales = -geometry(only, n, torch.ones(()), shape)[:, 0, 0].log2()
    assert scales.std().item() == pytest.approx(0.2, abs=0.02)


def test_one_of_the_two_rotations_acts_with_probability_p() -> None:
    u, n = torch.rand(N, 12, generator=rng()), torch.randn(N, 4, generator=rng())
    u[:, [0, 2, 4, 7, 8, 11]] = 1
    maps = geometry(u, n, torch.tensor(0.6), torch.Size((32, 32)))
    turned = (maps[:, 0, 1].abs() > 1e-6).float().mean()
    assert turned.item() == pytest.approx(0.6, abs=0.04)


def test_images_that_are_not_square_are_turned_without_being_stretched() -> None:
    u, n = torch.rand(N, 12, generator=rng()), torch.randn(N, 4, generator=rng())
    u[:, [0, 2, 4, 7, 8, 11]] = 1  # the two rotations alone
    to_pixels = torch.tensor([16 / 2, 8 / 2])  # of a map from [-1, 1] to [-1, 1]
    maps = geometry(u, n, torch.tensor(0.6), torch.Size((8, 16)))[:, :2, :2] * to_pixels[:, None] / to_pixels
    torch.testing.assert_close(maps @ maps.mT, torch.eye(2).expand(N, 2, 2))


def mixed(u: Tensor, n: Tensor, channels: int = 3) -> Tensor:
    return colours(u, n, torch.ones(()), channels)


def test_the_colours_of_ada() -> None:
    u, n = torch.ones(N, 7), torch.randn(N, 3, generator=rng())
    plain = torch.eye(3, 4).expand(N, 3, 4)
    torch.testing.assert_close(mixed(u, n), plain)
    one = u.clone()
    one[:, 0] = 0
    assert mixed(one, n)[:, 0, 3].std().item() == pytest.approx(0.2, abs=0.02)
    one = u.clone()
    one[:, 1] = 0
    assert mixed(one, n)[:, 1, 1].log2().std().item() == pytest.approx(0.5, abs=0.04)
    hue = u.clone()
    hue[:, 4], hue[:, 5] = 0, 0.5 + 1 / 3  # a third of a turn exchanges red, green and blue
    torch.testing.assert_close(
        mixed(hue, n)[0] @ torch.tensor([1.0, 0, 0, 1]), torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0
    )
    flipped = u.clone()
    flipped[:, 2:4] = 0  # white becomes black
    torch.testing.assert_close(mixed(flipped, n)[0] @ torch.ones(4), -torch.ones(3))
    saturated = u.clone()
    saturated[:, 6] = 0
    matrix = mixed(saturated, n)[0]
    factor = 2 ** n[0, 2]
    torch.testing.assert_close(matrix[0, 0] - matrix[0, 1], factor)
    torch.testing.assert_close(matrix.sum(1), torch.ones(3))
    grey = mixed(flipped, n, channels=1)
    assert grey.shape == (N, 1, 2)
    assert grey[0, 0, 0].item() == pytest.approx(-1)
    assert math.isclose(grey[0, 0, 1].item(), 0, abs_tol=1e-6)


@pytest.mark.parametrize("name", ["diffaugment", "ada"])
def test_resume_is_exact(name: str, tmp_path: Path) -> None:
    options = {"dataset": "digits", "batch_size": 8, "width": 8, "checkpoint_every": 6, "augmentation": name}
    whole = ganzoo.train("dcgan", steps=9, out=tmp_path / "whole", **options)
    ganzoo.train("dcgan", steps=6, out=tmp_path / "parts", **options)
    parts = ganzoo.train(resume=tmp_path / "parts", steps=9)
    states = last_state(parts.path), last_state(whole.path)
    assert_same(*states)
    if name == "ada":
        assert "augmentation.batches" in states[0]["model"]
