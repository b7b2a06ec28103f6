"""Better samples with the discriminator's help: the best of many, rejection sampling, Metropolis-Hastings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.data.normalization import encode
from ganzoo.gan import GAN
from ganzoo.gan.sampling import evaluating
from ganzoo.latents.layers import frozen
from ganzoo.latents.space import Latents, as_sampling, checked, draw, generate, network_condition, require_latent

CHUNK = 500
CALIBRATION_STEPS = 500
BURN_IN = 10_000
"""Samples from which DRS estimates the maximum of the density ratio: Azadi et al. 2019, section 3.2."""
QUANTILE = 0.8
EPSILON = 1e-6
CHAIN = 640
"""Steps of a Markov chain: Turner et al. 2019, section 4."""
MAX_ROUNDS = 2000
"""Batches of candidates after which rejection sampling gives up."""

Score = Callable[[Tensor, Any], Tensor]
"""Images in [-1, 1] or points, [N, ...], and the condition the networks receive -> scores [N], higher for more real."""


@dataclass(frozen=True, eq=False)
class Selection:
    """The points selected, in the order of their labels, of `drawn` that the generator made."""

    latents: Latents
    drawn: int


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A discriminator whose score is the log of the density ratio p_data / p_generator.

    z: Turner et al. 2019's statistic of a calibrated D, eq. 8, on held-out data: normal, so within about +-2 if the
        probabilities are right.
    """

    discriminator: nn.Module
    slope: float
    offset: float
    z: float

    def __call__(self, images: Tensor, condition: Any) -> Tensor:
        return self.slope * _logits(self.discriminator, images, condition) + self.offset


def calibrate(
    gan: GAN,
    real: Tensor,
    labels: Tensor | None,
    held_out: Tensor,
    held_out_labels: Tensor | None,
    steps: int | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Calibrated:
    """A copy of the discriminator as both papers want it: optimal for this generator, and calibrated.

    It learns on with the logistic loss, from `real` data and new samples of the fixed generator, for `steps` (Azadi et
    al. 2019, arXiv:1810.06758, section 3.2). On one half of the held-out data, which it has never seen, logistic
    regression then turns its score into a probability (Turner et al. 2019, arXiv:1811.11357, section 3.2), on the other
    half that is tested.

    Args:
        real, held_out: uint8 images [N, C, S, S] or points [N, D], as data sets hold them.
        labels, held_out_labels: int64 [N] for a GAN with classes of the data, else None.
        progress: called with the number of steps done.
    """
    require_latent(gan)
    rng, choice = torch.Generator(gan.device).manual_seed(seed), torch.Generator().manual_seed(seed)
    steps = CALIBRATION_STEPS if steps is None else steps
    discriminator = _trained_on(gan, real, labels, steps, rng, choice, progress or (lambda _: None))
    order = torch.randperm(len(held_out), generator=choice)[: 2 * BURN_IN]
    on_real, on_fake = [], []
    with torch.no_grad(), as_sampling(gan), evaluating(discriminator):
        for indices in order.split(CHUNK):
            data, given, fake, condition = _pair(gan, held_out, held_out_labels, indices, rng)
            on_real.append(_logits(discriminator, data, given))
            on_fake.append(_logits(discriminator, fake, condition))
    real_fitted, real_tested = torch.cat(on_real).double().chunk(2)
    fake_fitted, fake_tested = torch.cat(on_fake).double().chunk(2)
    slope, offset = logistic_regression(real_fitted, fake_fitted)
    return Calibrated(
        discriminator.eval(), slope, offset, _calibration_statistic(real_tested, fake_tested, slope, offset)
    )


def best(
    gan: GAN, score: Score, count: int, labels: Sequence[int] | None = None, seed: int = 0, of: int = 4
) -> Selection:
    """The best `count` of `of` * count samples by the score, as many of each class as asked for."""
    require_latent(gan)
    rng = torch.Generator(gan.device).manual_seed(seed)
    wanted = checked(gan, count, labels)
    given = None if wanted is None else wanted.repeat(of)
    points = draw(gan, of * count, given, rng)
    scores = _scores(gan, points, score)
    if wanted is None or given is None:
        return Selection(points[scores.topk(count).indices], of * count)
    chosen = torch.empty(count, dtype=torch.int64, device=gan.device)
    for label in wanted.unique():
        slots, candidates = (wanted == label).nonzero()[:, 0], (given == label).nonzero()[:, 0]
        chosen[slots] = candidates[scores[candidates].topk(len(slots)).indices]
    return Selection(points[chosen], of * count)


def rejection(
    gan: GAN, ratio: Score, count: int, labels: Sequence[int] | None = None, seed: int = 0, quantile: float = QUANTILE
) -> Selection:
    """Discriminator rejection sampling: Azadi et al. 2019, arXiv:1810.06758, algorithm 1.

    A sample is kept with probability sigmoid(F - gamma), F = d - log(1 - exp(d - eps)), d = log ratio - its maximum,
    which is estimated from samples before and raised on the way. gamma is this `quantile` of F, so that about a share
    of 1 - quantile is kept; with gamma = 0 it would be rejection sampling. `ratio` is `calibrate`'s. Raises GanzooError
    if hardly any is kept.
    """
    require_latent(gan)
    rng = torch.Generator(gan.device).manual_seed(seed)
    wanted = checked(gan, count, labels)
    before = _scores(gan, draw(gan, BURN_IN, _cycled(wanted, BURN_IN), rng), ratio)
    highest = before.max()
    gamma = _log_odds(before - highest).quantile(quantile)
    found: dict[int, Latents] = {}
    drawn = 0
    for _ in range(MAX_ROUNDS):
        missing = torch.tensor([slot for slot in range(count) if slot not in found], device=gan.device)
        slots = missing.repeat(-(-CHUNK // len(missing)))
        points = draw(gan, len(slots), None if wanted is None else wanted[slots], rng)
        scores = _scores(gan, points, ratio)
        highest = torch.maximum(highest, scores.max())
        probability = (_log_odds(scores - highest) - gamma).sigmoid()
        keep = torch.rand(len(scores), device=gan.device, generator=rng) < probability
        drawn += len(slots)
        for i in keep.nonzero()[:, 0].tolist():
            found.setdefault(int(slots[i]), points[i : i + 1])
        if len(found) == count:
            return Selection(Latents.concatenated([found[slot] for slot in range(count)]), drawn)
    raise GanzooError(f"Only {len(found):,} of {count:,} samples were accepted among {drawn:,}. Lower the quantile.")


def metropolis_hastings(
    gan: GAN,
    ratio: Score,
    real: Tensor,
    real_labels: Tensor | None,
    count: int,
    labels: Sequence[int] | None = None,
    seed: int = 0,
    steps: int | None = None,
) -> Selection:
    """Metropolis-Hastings GAN: Turner et al. 2019, arXiv:1811.11357, algorithm 1.

    `count` chains of `steps` run side by side. Each starts at an example of `real`, held-out data, and moves from x to
    a new sample x' with probability min(1, ratio(x') / ratio(x)): the paper's acceptance in terms of the density ratio.
    Chains that never leave the real data start again from a sample, as the paper's do, so that no result is real.
    """
    require_latent(gan)
    rng, choice = torch.Generator(gan.device).manual_seed(seed), torch.Generator().manual_seed(seed)
    wanted = checked(gan, count, labels)
    start = draw(gan, count, wanted, rng)
    z, condition = start.z.clone(), None if start.condition is None else start.condition.clone()
    indices = _random_of_labels(real_labels, wanted, count, len(real), choice)
    current = _judged(gan, ratio, encode(real[indices].to(gan.device), gan.spec), network_condition(gan, start))
    moved = torch.zeros(count, dtype=torch.bool, device=gan.device)
    drawn = count
    for restart in (False, True):
        active = (~moved).nonzero()[:, 0]
        if not len(active):
            break
        if restart:
            current[active] = _scores(gan, start[active], ratio)
        for _ in range(CHAIN if steps is None else steps):
            proposed = draw(gan, len(active), None if wanted is None else wanted[active], rng)
            scores = _scores(gan, proposed, ratio)
            accept = torch.rand(len(active), device=gan.device, generator=rng).log() < scores - current[active]
            moving = active[accept]
            z[moving], current[moving], moved[moving] = proposed.z[accept], scores[accept], True
            if condition is not None and proposed.condition is not None:
                condition[moving] = proposed.condition[accept]
            drawn += len(active)
    return Selection(Latents(z, condition), drawn)


def logistic_regression(on_real: Tensor, on_fake: Tensor) -> tuple[float, float]:
    """Slope a and offset b of the p(real) = sigmoid(a s + b) most likely for scores s of real and generated data."""
    scores = torch.cat([on_real, on_fake]).double()
    centre, scale = scores.mean(), scores.std().clamp_min(1e-12)
    s = (scores - centre) / scale
    target = torch.cat([torch.ones_like(on_real), torch.zeros_like(on_fake)]).double()
    weights = torch.zeros(2, dtype=torch.float64, device=s.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = weights[0] * s + weights[1]
        value = (softplus(logits) - target * logits).mean() + 1e-6 * weights.square().sum()  # finite if separable
        value.backward()
        return value

    optimizer.step(loss)
    slope, offset = weights.detach()
    return float(slope / scale), float(offset - slope / scale * centre)


def _log_odds(d: Tensor) -> Tensor:
    """The log odds of acceptance in rejection sampling, whose probability is exp(d)."""
    return d - torch.log1p(-(d - EPSILON).exp())


def _calibration_statistic(on_real: Tensor, on_fake: Tensor, slope: float, offset: float) -> float:
    p = (slope * torch.cat([on_real, on_fake]) + offset).sigmoid()
    return float((len(on_real) - p.sum()) / (p * (1 - p)).sum().sqrt().clamp_min(1e-12))


def _trained_on(
    gan: GAN, real: Tensor, labels: Tensor | None, steps: int, rng: torch.Generator, choice: torch.Generator,
    progress: Callable[[int], None],
) -> nn.Module:  # fmt: skip
    """A copy of the discriminator, trained on against the fixed generator."""
    discriminator = copy.deepcopy(gan.discriminator).requires_grad_(True).train()
    optimizer = torch.optim.Adam(discriminator.parameters(), gan.config.discriminator_lr, (0.5, 0.999))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, max(1, steps))
    with frozen(gan.generator), as_sampling(gan), torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(1 << 31, (), generator=choice)))  # dropout
        for step in range(steps):
            indices = torch.randint(len(real), (gan.config.batch_size,), generator=choice)
            with torch.no_grad():
                data, given, fake, condition = _pair(gan, real, labels, indices, rng)
            loss = -logsigmoid(_logits(discriminator, data, given)).mean()
            loss = loss + softplus(_logits(discriminator, fake, condition)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress(step + 1)
    return discriminator


def _pair(
    gan: GAN, real: Tensor, labels: Tensor | None, indices: Tensor, rng: torch.Generator
) -> tuple[Tensor, Any, Tensor, Any]:
    """Real data at `indices` and as many samples of the same labels, each with its condition."""
    given = None if labels is None else labels[indices].to(gan.device)
    if given is None and gan.conditional:  # categories that the GAN has found without labels
        given = checked(gan, len(indices), None)
    points = draw(gan, len(indices), given, rng)
    condition = network_condition(gan, points)
    return encode(real[indices].to(gan.device), gan.spec), condition, generate(gan, points), condition


def _logits(discriminator: nn.Module, images: Tensor, condition: Any) -> Tensor:
    """The discriminator's logits [N]; those of patches are averaged."""
    logits: Tensor = discriminator(images, condition)
    if len(logits) != len(images):
        raise UsageError("This GAN's discriminator judges several samples at once (pack): none has a score of its own.")
    return logits.float().flatten(1).mean(1) if logits.dim() > 1 else logits.float()


def own_score(gan: GAN) -> Score:
    """The score of the GAN's discriminator as it is."""
    return lambda images, condition: _logits(gan.discriminator, images, condition)


def _scores(gan: GAN, points: Latents, score: Score) -> Tensor:
    """The scores [N] of the images of `points`."""
    parts = []
    for i in range(0, len(points), CHUNK):
        chunk = points[i : i + CHUNK]
        with torch.no_grad(), as_sampling(gan):
            images = generate(gan, chunk)
        parts.append(_judged(gan, score, images, network_condition(gan, chunk)))
    return torch.cat(parts)


@torch.no_grad()
def _judged(gan: GAN, score: Score, images: Tensor, condition: Any) -> Tensor:
    with evaluating(gan.discriminator):
        parts = [
            score(images[i : i + CHUNK], None if condition is None else condition[i : i + CHUNK])
            for i in range(0, len(images), CHUNK)
        ]
    return torch.cat(parts)


def _random_of_labels(
    labels: Tensor | None, wanted: Tensor | None, count: int, size: int, choice: torch.Generator
) -> Tensor:
    """Random indices [count] of examples, of the classes `wanted` where data with `labels` have any."""
    indices = torch.randint(size, (count,), generator=choice)
    if labels is None or wanted is None:
        return indices
    for label in wanted.unique().tolist():
        slots, pool = (wanted.cpu() == label).nonzero()[:, 0], (labels == label).nonzero()[:, 0]
        if len(pool):
            indices[slots] = pool[torch.randint(len(pool), (len(slots),), generator=choice)]
    return indices


def _cycled(labels: Tensor | None, count: int) -> Tensor | None:
    return None if labels is None else labels.repeat(-(-count // len(labels)))[:count]
