"""Adversarial losses: pure functions of logits, in which no exponential or logarithm overflows.

A discriminator's loss is the sum of a term on the logits of real images and a term on those of generated ones, each
[N]; a generator's loss takes the logits of generated images. Relativistic losses take both. All return a scalar to be
minimised. The penalties that go with them are in `ganzoo.penalties` and can be imported from here. Any package can add
a loss with an entry point in the group `ganzoo.losses`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ganzoo.core import distributed, registry
from ganzoo.core.entry_points import LOSSES as GROUP
from ganzoo.core.errors import PluginError
from ganzoo.penalties import (
    PENALTIES,
    Score,
    clip_weights,
    get_penalty,
    gradient_penalty,
    r1_penalty,
    r1r2_penalty,
    r2_penalty,
)

__all__ = [
    "LOSSES",
    "PENALTIES",
    "Loss",
    "Score",
    "clip_weights",
    "energy_fake",
    "energy_real",
    "get_loss",
    "get_penalty",
    "gradient_penalty",
    "hinge_fake",
    "hinge_real",
    "in_terms",
    "least_squares_fake",
    "least_squares_generator",
    "least_squares_real",
    "logistic_fake",
    "logistic_real",
    "minimax_generator",
    "nonsaturating_generator",
    "pull_away",
    "r1_penalty",
    "r1r2_penalty",
    "r2_penalty",
    "relativistic_average_discriminator",
    "relativistic_average_generator",
    "relativistic_discriminator",
    "relativistic_generator",
    "score_generator",
    "wasserstein_fake",
    "wasserstein_real",
]


def logistic_real(real: Tensor, real_label: float = 1.0) -> Tensor:
    """-log D(x) with D = sigmoid(logit): Goodfellow et al. 2014, arXiv:1406.2661, eq. 1.

    `real_label` t < 1 is one-sided label smoothing (Salimans et al. 2016, arXiv:1606.03498, 3.4).
    """
    return (real_label * F.softplus(-real) + (1 - real_label) * F.softplus(real)).mean()


def logistic_fake(fake: Tensor) -> Tensor:
    """-log(1 - D(G(z))): the other term of Goodfellow et al. 2014, eq. 1."""
    return F.softplus(fake).mean()


def nonsaturating_generator(fake: Tensor) -> Tensor:
    """-log D(G(z)), whose gradient does not vanish when D wins: Goodfellow et al. 2014, section 3."""
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
    """-E f(x); with `wasserstein_fake`, the negative distance estimate: Arjovsky et al. 2017, arXiv:1701.07875."""
    return -real.mean()


def wasserstein_fake(fake: Tensor) -> Tensor:
    """E f(G(z)): Arjovsky et al. 2017."""
    return fake.mean()


def hinge_real(real: Tensor, real_label: float = 1.0) -> Tensor:
    """max(0, 1 - D(x)): Lim and Ye 2017, arXiv:1705.02894. Ignores `real_label`."""
    return F.relu(1 - real).mean()


def hinge_fake(fake: Tensor) -> Tensor:
    """max(0, 1 + D(G(z))): Lim and Ye 2017."""
    return F.relu(1 + fake).mean()


def score_generator(fake: Tensor) -> Tensor:
    """-E f(G(z)): the generator's side of the Wasserstein and hinge losses."""
    return -fake.mean()


def relativistic_discriminator(real: Tensor, fake: Tensor, real_label: float = 1.0) -> Tensor:
    """-log sigmoid(D(x) - D(G(z))) over pairs of one real and one fake: Jolicoeur-Martineau 2018, arXiv:1807.00734.

    R3GAN (Huang et al. 2024, arXiv:2501.05441, eq. 2) calls it the relativistic pairing loss. Ignores `real_label`.
    """
    return F.softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """-log sigmoid(D(G(z)) - D(x)): the discriminator's loss with real and fake swapped."""
    return F.softplus(real - fake).mean()


def relativistic_average_discriminator(real: Tensor, fake: Tensor, real_label: float = 1.0) -> Tensor:
    """Each logit against the mean logit of the other side: Jolicoeur-Martineau 2018, arXiv:1807.00734, eq. 9 (RaSGAN).

    -log sigmoid(D(x) - E D(G(z))) - log(1 - sigmoid(D(G(z)) - E D(x))), the means over all ranks. Ignores `real_label`.
    """
    return F.softplus(_mean(fake) - real).mean() + F.softplus(fake - _mean(real)).mean()


def relativistic_average_generator(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss with real and fake swapped: Jolicoeur-Martineau 2018, eq. 10."""
    return relativistic_average_discriminator(fake, real)


def energy_real(real: Tensor, real_label: float = 1.0) -> Tensor:
    """E(x), the energy of real images, E = -logit: Zhao et al. 2017, arXiv:1609.03126, eq. 1. Ignores `real_label`."""
    return -real.mean()


def energy_fake(fake: Tensor) -> Tensor:
    """max(0, 1 - E(G(z))): Zhao et al. 2017, eq. 1, in units of the margin m."""
    return F.relu(1 + fake).mean()


def pull_away(codes: Tensor) -> Tensor:
    """The mean squared cosine of all pairs of different codes [N, features]: Zhao et al. 2017, arXiv:1609.03126, eq. 8.

    Added to a generator's loss, with a weight, it keeps images apart. A single code has no pair: 0.
    """
    directions = F.normalize(codes, dim=1)
    count = len(codes)
    return ((directions @ directions.T).square().sum() - count) / max(1, count * (count - 1))


def _mean(logits: Tensor) -> Tensor:
    """The mean over all ranks."""
    ranks = distributed.size()
    return logits.mean() if ranks == 1 else distributed.all_reduce_sum(logits.mean()) / ranks


def in_terms(on_real: Callable[[Tensor, float], Tensor], on_fake: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A discriminator loss that is the sum of two terms; if one side's logits are None, it is the other side's term."""

    def discriminator(real: Tensor | None, fake: Tensor | None, real_label: float = 1.0) -> Tensor:
        if fake is None:
            assert real is not None
            return on_real(real, real_label)
        return on_fake(fake) if real is None else on_real(real, real_label) + on_fake(fake)

    return discriminator


@dataclass(frozen=True)
class Loss:
    """The two sides of one adversarial objective.

    `discriminator` takes the logits of real images, those of generated ones, and the real label. `generator` takes the
    logits of generated images or, if the loss is `relativistic`, of real and generated ones; a relativistic loss cannot
    be split into terms. `probability`: sigmoid(logit) is the probability that D assigns to "real".
    """

    discriminator: Callable[..., Tensor]
    generator: Callable[..., Tensor]
    probability: bool = False
    relativistic: bool = False


nonsaturating = Loss(in_terms(logistic_real, logistic_fake), nonsaturating_generator, probability=True)
minimax = Loss(in_terms(logistic_real, logistic_fake), minimax_generator, probability=True)
least_squares = Loss(in_terms(least_squares_real, least_squares_fake), least_squares_generator)
wasserstein = Loss(in_terms(wasserstein_real, wasserstein_fake), score_generator)
hinge = Loss(in_terms(hinge_real, hinge_fake), score_generator)
relativistic = Loss(relativistic_discriminator, relativistic_generator, relativistic=True)
relativistic_average = Loss(relativistic_average_discriminator, relativistic_average_generator, relativistic=True)
energy = Loss(in_terms(energy_real, energy_fake), score_generator)

LOSSES: dict[str, Loss] = {
    "nonsaturating": nonsaturating,
    "minimax": minimax,
    "least_squares": least_squares,
    "wasserstein": wasserstein,
    "hinge": hinge,
    "relativistic": relativistic,
    "relativistic_average": relativistic_average,
    "energy": energy,
}
"""The built-in losses by name; `get_loss` finds those of other packages as well."""


def _undefined(*logits: Tensor | None) -> Tensor:
    raise PluginError("loss=own: its GAN must compute the losses of both networks itself")


own = Loss(_undefined, _undefined)
"""Stands for the losses of an architecture that computes them itself: `loss: Literal["own"] = "own"` in its Config."""


def get_loss(name: str) -> Loss:
    """The loss called `name`. Raises UsageError for an unknown name, and PluginError for one that cannot be used."""
    if name == "own":
        return own
    loss: Loss = registry.get(GROUP, name, _as_loss).card
    return loss


def _as_loss(target: Any) -> Loss:
    if not isinstance(target, Loss):
        raise PluginError(f"it must be a ganzoo.losses.Loss, but is a {type(target).__name__}")
    if not (callable(target.discriminator) and callable(target.generator)):
        raise PluginError("its discriminator and generator must be functions")
    return target
