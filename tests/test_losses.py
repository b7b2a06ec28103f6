from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganzoo import losses
from ganzoo.core.plugin import LossName, PenaltyName
from ganzoo.losses import LOSSES, PENALTIES, clip_weights, gradient_penalty, r1_penalty, r1r2_penalty, r2_penalty

MODERATE = st.lists(st.floats(-8, 8), min_size=1, max_size=6).map(lambda x: torch.tensor(x, dtype=torch.float64))
LABELS = st.floats(0.05, 1)


def naive_log_loss(real: Tensor, fake: Tensor, label: float) -> Tensor:
    on_real = -(label * real.sigmoid().log() + (1 - label) * (1 - real.sigmoid()).log())
    return on_real.mean() - (1 - fake.sigmoid()).log().mean()


NAIVE: dict[str, tuple[Callable[[Tensor, Tensor, float], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "nonsaturating": (naive_log_loss, lambda real, fake: -fake.sigmoid().log().mean()),
    "minimax": (naive_log_loss, lambda real, fake: (1 - fake.sigmoid()).log().mean()),
    "least_squares": (
        lambda real, fake, label: (((real - label) ** 2).mean() + (fake**2).mean()) / 2,
        lambda real, fake: ((fake - 1) ** 2).mean() / 2,
    ),
    "wasserstein": (lambda real, fake, label: -(real.mean() - fake.mean()), lambda real, fake: -fake.mean()),
    "hinge": (
        lambda real, fake, label: (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(),
        lambda real, fake: -fake.mean(),
    ),
    "relativistic": (
        lambda real, fake, label: -(real - fake).sigmoid().log().mean(),
        lambda real, fake: -(fake - real).sigmoid().log().mean(),
    ),
}


def generator_loss(name: LossName, real: Tensor, fake: Tensor) -> Tensor:
    loss = LOSSES[name]
    return loss.generator(real, fake) if loss.relativistic else loss.generator(fake)


def test_every_loss_a_setting_can_name_exists() -> None:
    assert set(LOSSES) == set(get_args(LossName)) == set(NAIVE)


@pytest.mark.parametrize("name", LOSSES)
@given(real=MODERATE, fake=MODERATE, label=LABELS)
def test_losses_equal_their_formulas(name: LossName, real: Tensor, fake: Tensor, label: float) -> None:
    discriminator, generator = NAIVE[name]
    pairs = min(len(real), len(fake))
    real, fake = real[:pairs], fake[:pairs]
    torch.testing.assert_close(
        LOSSES[name].discriminator(real, fake, label), discriminator(real, fake, label), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(generator_loss(name, real, fake), generator(real, fake), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("real_label", [1.0, 0.9])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_gradients_are_finite_at_extreme_logits(name: LossName, real_label: float) -> None:
    real = torch.tensor([-1e4, 1e4, 0.0], requires_grad=True)
    fake = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    for loss in (LOSSES[name].discriminator(real, fake, real_label), generator_loss(name, real, fake)):
        assert loss.shape == ()
        assert loss.isfinite()
        loss.backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.isfinite().all()
    assert fake.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_each_side_pulls_the_logits_its_own_way(name: LossName) -> None:
    real = torch.zeros(3, requires_grad=True)
    fake = torch.zeros(3, requires_grad=True)
    on_real, on_fake = torch.autograd.grad(LOSSES[name].discriminator(real, fake, 1.0), (real, fake))
    assert (on_real < 0).all()
    assert (on_fake >= 0).all()
    (by_generator,) = torch.autograd.grad(generator_loss(name, real, fake), fake)
    assert (by_generator < 0).all()


@pytest.mark.parametrize("name", ["nonsaturating", "minimax", "least_squares"])
def test_smoothing_moves_the_target_of_real_images_only(name: LossName) -> None:
    best = 0.9 if name == "least_squares" else torch.logit(torch.tensor(0.9)).item()
    real = torch.full((2,), best, requires_grad=True)
    fake = torch.tensor([0.3, -2.0], requires_grad=True)
    on_real, smoothed = torch.autograd.grad(LOSSES[name].discriminator(real, fake, 0.9), (real, fake))
    torch.testing.assert_close(on_real, torch.zeros(2))
    (plain,) = torch.autograd.grad(LOSSES[name].discriminator(real, fake, 1.0), fake)
    torch.testing.assert_close(smoothed, plain)


def test_nonsaturating_keeps_the_gradient_that_minimax_loses() -> None:
    fake = torch.tensor([-20.0], requires_grad=True)
    (saturated,) = torch.autograd.grad(losses.minimax_generator(fake), fake)
    (kept,) = torch.autograd.grad(losses.nonsaturating_generator(fake), fake)
    assert -1e-6 < saturated.item() < 0
    assert kept.item() == pytest.approx(-1, abs=1e-6)


def test_minimax_and_nonsaturating_agree_where_the_discriminator_knows_nothing() -> None:
    fake = torch.zeros(4, requires_grad=True)
    (minimax,) = torch.autograd.grad(losses.minimax_generator(fake), fake)
    (nonsaturating,) = torch.autograd.grad(losses.nonsaturating_generator(fake), fake)
    torch.testing.assert_close(minimax, nonsaturating)


def test_the_relativistic_loss_compares_a_real_with_its_fake_alone() -> None:
    real, fake = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    loss = LOSSES["relativistic"]
    torch.testing.assert_close(loss.discriminator(real + 3, fake + 3, 1.0), loss.discriminator(real, fake, 1.0))
    torch.testing.assert_close(loss.generator(real, fake), loss.discriminator(fake, real, 1.0))
    assert not torch.isclose(loss.discriminator(real, fake.flip(0), 1.0), loss.discriminator(real, fake, 1.0))


def test_every_penalty_on_slopes_exists() -> None:
    assert set(PENALTIES) == set(get_args(PenaltyName)) - {"none", "clip"}


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


def test_gradient_penalty_looks_between_real_and_fake() -> None:
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


def test_r2_looks_at_the_fakes_and_r1r2_at_both() -> None:
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
    (found,) = torch.autograd.grad(gradient_penalty(linear(weight), images(1), images(2)), weight)
    slope = weight.detach().norm()
    torch.testing.assert_close(found, 2 * (slope - 1) * weight.detach() / slope)
    (found,) = torch.autograd.grad(r1_penalty(linear(weight), images(1)), weight)
    torch.testing.assert_close(found, weight.detach())


def test_a_flat_critic_has_a_finite_penalty() -> None:
    weight = torch.zeros(18, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(linear(weight), images(1), images(2))
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert penalty.item() == 1
    assert gradient.isfinite().all()


def test_penalties_leave_their_images_alone() -> None:
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
