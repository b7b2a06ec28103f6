from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ganzoo import losses, penalties
from ganzoo.core import registry
from ganzoo.core.entry_points import PENALTIES as GROUP
from ganzoo.penalties import (
    PENALTIES,
    clip_weights,
    dragan_penalty,
    gradient_penalty,
    r1_penalty,
    r1r2_penalty,
    r2_penalty,
)


def test_there_is_a_gradient_penalty_for_every_name_a_setting_can_have() -> None:
    assert set(PENALTIES) == set(registry.names(GROUP))


@pytest.mark.parametrize(
    "name",
    ["PENALTIES", "Score", "clip_weights", "gradient_penalty", "r1_penalty", "r1r2_penalty", "r2_penalty"],
)
def test_plugins_of_api_version_1_find_it_in_losses(name: str) -> None:
    assert getattr(losses, name) is getattr(penalties, name)


def images(seed: int, n: int = 5) -> Tensor:
    return torch.randn(n, 2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: x.flatten(1) @ weight


def quadratic(x: Tensor) -> Tensor:
    return x.flatten(1).square().sum(1) / 2


@pytest.mark.parametrize("scale", [0.1, 1.0, 7.0])
def test_penalties_of_a_linear_critic_depend_on_its_slope_only(scale: float) -> None:
    weight = images(0).flatten()[:18] * scale
    slope = weight.norm()
    torch.testing.assert_close(gradient_penalty(linear(weight), images(1), images(2)), (slope - 1) ** 2)
    torch.testing.assert_close(r1_penalty(linear(weight), images(1)), slope**2 / 2)


def test_gradient_penalty_is_taken_between_real_and_fake_images() -> None:
    real, fake = images(1), images(2)
    mix = torch.rand(5, 1, 1, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    between = real + mix * (fake - real)
    expected = (between.flatten(1).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(gradient_penalty(quadratic, real, fake, torch.Generator().manual_seed(3)), expected)


def test_gradient_penalty_is_zero_at_slope_one_and_drawn_from_its_generator() -> None:
    weight = torch.zeros(18, dtype=torch.float64)
    weight[4] = 1
    assert gradient_penalty(linear(weight), images(1), images(2)) == 0
    first, again, other = (
        gradient_penalty(quadratic, images(1), images(2), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_r1_of_a_quadratic_is_the_mean_square_of_its_images() -> None:
    real = images(1)
    torch.testing.assert_close(r1_penalty(quadratic, real), real.flatten(1).square().sum(1).mean() / 2)


def test_r2_is_taken_at_fake_images_and_r1r2_at_both() -> None:
    real, fake = images(1), images(2)
    r1, r2 = r1_penalty(quadratic, real), r2_penalty(quadratic, real, fake)
    torch.testing.assert_close(r2, fake.flatten(1).square().sum(1).mean() / 2)
    torch.testing.assert_close(r1r2_penalty(quadratic, real, fake), r1 + r2)


def test_penalties_are_differentiable_to_the_weights() -> None:
    real, fake = images(1, 3), images(2, 3)
    weight = images(3).flatten()[:18].clone().requires_grad_()

    def critic(w: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: (x.flatten(1) * w).tanh().sum(1)

    def gradient(w: Tensor) -> Tensor:
        return gradient_penalty(critic(w), real, fake, torch.Generator().manual_seed(0))

    assert torch.autograd.gradcheck(gradient, weight)
    assert torch.autograd.gradcheck(lambda w: r1r2_penalty(critic(w), real, fake), weight)


def test_penalty_gradient_of_a_linear_critic_is_closed_form() -> None:
    weight = (images(3).flatten()[:18] * 2).requires_grad_()
    (gradient,) = torch.autograd.grad(gradient_penalty(linear(weight), images(1), images(2)), weight)
    slope = weight.detach().norm()
    torch.testing.assert_close(gradient, 2 * (slope - 1) * weight.detach() / slope)
    (gradient,) = torch.autograd.grad(r1_penalty(linear(weight), images(1)), weight)
    torch.testing.assert_close(gradient, weight.detach())


def test_a_flat_critic_has_a_finite_penalty() -> None:
    weight = torch.zeros(18, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(linear(weight), images(1), images(2))
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert penalty.item() == 1
    assert gradient.isfinite().all()


def test_penalties_do_not_change_their_images() -> None:
    real, fake = images(1), images(2)
    before = real.clone()
    gradient_penalty(quadratic, real, fake)
    r1r2_penalty(quadratic, real, fake)
    assert not real.requires_grad
    assert not fake.requires_grad
    assert torch.equal(real, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_penalties_of_half_precision_networks_are_summed_in_full_precision(dtype: torch.dtype) -> None:
    real, fake = images(1).to(dtype), images(2).to(dtype)
    weight = torch.full((18,), 0.5, dtype=dtype)
    assert r1_penalty(linear(weight), real).dtype == torch.float32
    assert gradient_penalty(linear(weight), real, fake).dtype == torch.float32


def test_clip_weights_clips_in_place_and_nothing_else() -> None:
    weights = [torch.tensor([-3.0, -0.01, 0.0, 0.005, 0.02], requires_grad=True), torch.tensor([[0.5]])]
    clip_weights(iter(weights), 0.01)
    assert torch.equal(weights[0], torch.tensor([-0.01, -0.01, 0.0, 0.005, 0.01]))
    assert torch.equal(weights[1], torch.tensor([[0.01]]))
    assert weights[0].requires_grad
    assert weights[0].is_leaf


def test_dragan_looks_near_real_images_alone() -> None:
    """x + a (s/2) u: within half a standard deviation above each value; |3| - 1 squared for a plane of slope 3."""
    seen: list[Tensor] = []

    def plane(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return 3 * images.flatten(1)[:, 0]

    real = torch.randn(16, 2, 4)
    penalty = dragan_penalty(plane, real, generator=torch.Generator().manual_seed(0))
    assert penalty.item() == pytest.approx(4)
    offset = seen[0] - real
    assert (offset >= 0).all()
    assert 0.4 * real.std() < offset.max() < 0.5 * real.std() * 1.01
