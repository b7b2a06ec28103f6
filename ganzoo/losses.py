"""Adversarial losses and penalties: pure functions on logits, in the form that stays finite for any logit.

A discriminator's loss is the sum of one on the logits of real images and one on those of fakes, each [N]; a generator's
loss takes the logits of fakes. Relativistic ones take both. All return a scalar, to be minimised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.plugin import LossName, PenaltyName


def logistic_real(real: Tensor, real_label: float = 1.0) -> Tensor:
    """-log D(x) with D = sigmoid(logit): Goodfellow et al. 2014, arXiv:1406.2661, eq. 1.

    `real_label` t < 1 is one-sided label smoothing (Salimans et al. 2016, arXiv:1606.03498, 3.4).
    """
    return (real_label * F.softplus(-real) + (1 - real_label) * F.softplus(real)).mean()


def logistic_fake(fake: Tensor) -> Tensor:
    """-log(1 - D(G(z))): the other term of Goodfellow et al. 2014, eq. 1."""
    return F.softplus(fake).mean()


def nonsaturating_generator(fake: Tensor) -> Tensor:
    """-log D(G(z)): the generator's loss that keeps its gradient when D wins (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-fake).mean()


def minimax_generator(fake: Tensor) -> Tensor:
    """log(1 - D(G(z))): the generator's side of the minimax game, Goodfellow et al. 2014, eq. 1."""
    return -F.softplus(fake).mean()


def least_squares_real(real: Tensor, real_label: float = 1.0) -> Tensor:
    """(D(x) - t)^2 / 2: Mao et al. 2017, arXiv:1611.04076, eq. 9, with t = `real_label`."""
    return 0.5 * (real - real_label).square().mean()


def least_squares_fake(fake: Tensor) -> Tensor:
    """D(G(z))^2 / 2: Mao et al. 2017, eq. 9."""
    return 0.5 * fake.square().mean()


def least_squares_generator(fake: Tensor) -> Tensor:
    """(D(G(z)) - 1)^2 / 2: Mao et al. 2017, arXiv:1611.04076, eq. 9."""
    return 0.5 * (fake - 1).square().mean()


def wasserstein_real(real: Tensor, real_label: float = 1.0) -> Tensor:
    """-E f(x), with `wasserstein_fake` minus the distance estimate: Arjovsky et al. 2017, arXiv:1701.07875."""
    return -real.mean()


def wasserstein_fake(fake: Tensor) -> Tensor:
    """E f(G(z)): Arjovsky et al. 2017."""
    return fake.mean()


def hinge_real(real: Tensor, real_label: float = 1.0) -> Tensor:
    """max(0, 1 - D(x)): Lim and Ye 2017, arXiv:1705.02894. Takes no label."""
    return F.relu(1 - real).mean()


def hinge_fake(fake: Tensor) -> Tensor:
    """max(0, 1 + D(G(z))): Lim and Ye 2017."""
    return F.relu(1 + fake).mean()


def score_generator(fake: Tensor) -> Tensor:
    """-E f(G(z)): the generator raises its score. Used with the Wasserstein and the hinge loss."""
    return -fake.mean()


def relativistic_discriminator(real: Tensor, fake: Tensor, real_label: float = 1.0) -> Tensor:
    """-log sigmoid(D(x) - D(G(z))) over pairs of one real and one fake: Jolicoeur-Martineau 2018, arXiv:1807.00734.

    R3GAN (Huang et al. 2024, arXiv:2501.05441, eq. 2) calls it the relativistic pairing loss. Takes no label.
    """
    return F.softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x)): the discriminator's loss with real and fake in each other's place."""
    return F.softplus(real - fake).mean()


def in_terms(on_real: Callable[[Tensor, float], Tensor], on_fake: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The discriminator's loss as the sum of these; of one side's logits alone, the other's None, it is their term."""

    def discriminator(real: Tensor | None, fake: Tensor | None, real_label: float = 1.0) -> Tensor:
        if fake is None:
            assert real is not None
            return on_real(real, real_label)
        return on_fake(fake) if real is None else on_real(real, real_label) + on_fake(fake)

    return discriminator


@dataclass(frozen=True)
class Loss:
    """The two sides of one adversarial objective.

    `discriminator` takes the logits of reals, those of fakes, and the real label. `probability` says whether
    sigmoid(logit) is D's belief in "real". The generator's side takes the logits of fakes; where the loss is
    `relativistic`, those of reals and of fakes, and the discriminator's side has no terms.
    """

    discriminator: Callable[..., Tensor]
    generator: Callable[..., Tensor]
    probability: bool = False
    relativistic: bool = False


LOSSES: dict[LossName, Loss] = {
    "nonsaturating": Loss(in_terms(logistic_real, logistic_fake), nonsaturating_generator, probability=True),
    "minimax": Loss(in_terms(logistic_real, logistic_fake), minimax_generator, probability=True),
    "least_squares": Loss(in_terms(least_squares_real, least_squares_fake), least_squares_generator),
    "wasserstein": Loss(in_terms(wasserstein_real, wasserstein_fake), score_generator),
    "hinge": Loss(in_terms(hinge_real, hinge_fake), score_generator),
    "relativistic": Loss(relativistic_discriminator, relativistic_generator, relativistic=True),
}

Score = Callable[[Tensor], Tensor]
"""A discriminator for given conditions: images [N, ...] -> logits."""


def gradient_penalty(
    discriminator: Score, real: Tensor, fake: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """E (|grad f(x^)| - 1)^2 at random points between real and fake: Gulrajani et al. 2017, arXiv:1704.00028, eq. 3.

    `real` and `fake` are [N, ...] of one shape; `generator` draws the N mixing weights. Differentiable twice.
    """
    shape = (distributed.size() * real.shape[0],) + (1,) * (real.dim() - 1)
    mix = distributed.shard(torch.rand(shape, device=real.device, dtype=real.dtype, generator=generator))
    between = torch.lerp(real, fake.to(real.dtype), mix).requires_grad_()
    slopes: Tensor = _input_gradient(discriminator, between).norm(dim=1)
    return (slopes - 1).square().mean()


def r1_penalty(
    discriminator: Score, real: Tensor, fake: Tensor | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """E |grad D(x)|^2 / 2 at real images [N, ...]: Mescheder et al. 2018, arXiv:1801.04406, eq. 9, without gamma."""
    return _half_squared_slope(discriminator, real)


def r2_penalty(discriminator: Score, real: Tensor, fake: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """E |grad D(G(z))|^2 / 2 at fake images [N, ...]: Mescheder et al. 2018, arXiv:1801.04406, eq. 10."""
    return _half_squared_slope(discriminator, fake)


def r1r2_penalty(discriminator: Score, real: Tensor, fake: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """R1 + R2, with which the relativistic pairing loss converges: Huang et al. 2024, arXiv:2501.05441, section 2.2."""
    return r1_penalty(discriminator, real) + r2_penalty(discriminator, real, fake)


PENALTIES: dict[PenaltyName, Callable[..., Tensor]] = {
    "gradient": gradient_penalty,
    "r1": r1_penalty,
    "r1r2": r1r2_penalty,
}
"""The penalties on slopes: called as `penalty(discriminator, real, fake, generator)`."""


def _half_squared_slope(discriminator: Score, images: Tensor) -> Tensor:
    return 0.5 * _input_gradient(discriminator, images.detach().requires_grad_()).square().sum(dim=1).mean()


def _input_gradient(discriminator: Score, x: Tensor) -> Tensor:
    gradient: Tensor = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)[0]
    at_least_single: torch.dtype = torch.promote_types(gradient.dtype, torch.float32)
    return gradient.flatten(1).to(at_least_single)


@torch.no_grad()
def clip_weights(parameters: Iterable[Tensor], bound: float) -> None:
    """Clamp every weight to [-bound, bound], in place: Arjovsky et al. 2017, algorithm 1."""
    weights = list(parameters)
    torch._foreach_clamp_max_(weights, bound)
    torch._foreach_clamp_min_(weights, -bound)
