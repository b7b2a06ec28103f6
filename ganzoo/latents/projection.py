"""Projection: the point of latent space whose image is closest to a given one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.data.normalization import decode, encode
from ganzoo.gan import GAN
from ganzoo.gan.optimizers import Adam
from ganzoo.latents.layers import frozen, input_of, layers
from ganzoo.latents.space import Latents, as_sampling, generate, network_condition, sample

Features = Callable[[Tensor, Latents], Tensor]
"""Images in [-1, 1], [N, C, S, S], and the latents they are compared at -> features [N, D], differentiable."""

CANDIDATES = 1000
STARTS = 8
STEPS = 200
LEARNING_RATE = 0.1
FEATURE_WEIGHT = 0.1
PRIOR_WEIGHT = 1e-3
FRAMES = 60


@dataclass(frozen=True, eq=False)
class Projection:
    """The result of `project`.

    latents: the point found, one of them.
    image: its image, uint8 [C, S, S].
    psnr: peak signal-to-noise ratio of the image, in dB; higher is closer.
    distance: squared distance of its features, as a share of the target's squared length; None without features.
    length: |z| as a multiple of what noise has on average: far above 1, a generator can imitate what it never learnt.
    random: the image of the best candidate before optimisation, and `random_psnr` its ratio.
    starts: the ratio that each start has reached, the best first.
    way: images on the way to the result, uint8 [FRAMES, C, S, S].
    """

    latents: Latents
    image: Tensor
    psnr: float
    distance: float | None
    length: float
    random: Tensor
    random_psnr: float
    starts: list[float]
    way: Tensor


def project(
    gan: GAN,
    image: Tensor,
    label: int | None = None,
    features: Features | None = None,
    starts: int = STARTS,
    steps: int = STEPS,
    candidates: int = CANDIDATES,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Projection:
    """The latent whose image is closest to `image`, uint8 [C, S, S]: pixels, and `features` if given.

    The best `starts` of `candidates` random latents are improved by `steps` of Adam, side by side, and the best is
    chosen. By default candidates are of all classes; `label` asks for one. The negative log density of z, with a small
    weight, holds it near the normal distribution (Creswell and Bharath 2018, arXiv:1802.05701). `progress` is called
    with the number of steps done. Raises UsageError if the image does not have the shape of the GAN's images.
    """
    if gan.spec.kind != "images" or gan.spec.target.facts.get("bits", 8) != 8:
        raise UsageError(f"Projection needs a GAN of 8-bit images, not of {gan.spec.target}.")
    if image.dtype != torch.uint8 or image.shape != gan.spec.shape:
        actual = f"{str(image.dtype).removeprefix('torch.')} {list(image.shape)}"
        raise UsageError(f"Projection needs uint8 {list(gan.spec.shape)}, but got {actual}.")
    points = sample(gan, candidates, None if label is None else [label] * candidates, seed)
    target = encode(image[None].to(gan.device), gan.spec)
    networks = (gan.generator, gan.discriminator)
    with frozen(*networks), as_sampling(gan):
        errors = _Errors(target, features)
        with torch.no_grad():
            totals = torch.cat([errors.of(gan, points[i : i + 250])[0] for i in range(0, candidates, 250)])
        order = totals.argsort()[:starts]
        found, trail = _improved(gan, points[order], errors, steps, progress or (lambda _: None))
        with torch.no_grad():
            (total, distance), images = errors.of(gan, found), decode(generate(gan, found), gan.spec)
            random = decode(generate(gan, points[order[:1]]), gan.spec)[0]
            way = decode(generate(gan, _thinned(trail, int(total.argmin()))), gan.spec)
    best = int(total.argmin())
    usual = points.z.flatten(1).norm(dim=1).mean()
    return Projection(
        found[best : best + 1],
        images[best],
        psnr(images[best], image),
        None if distance is None else float(distance[best]),
        float(found.z[best].norm() / usual),
        random,
        psnr(random, image),
        sorted((psnr(result, image) for result in images), reverse=True),
        way,
    )


def psnr(image: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio of two uint8 images, in dB; infinite if they are equal."""
    error = float((image.double() - target.double()).square().mean())
    return float("inf") if error == 0 else float(10 * torch.log10(torch.tensor(255**2 / error, dtype=torch.float64)))


def discriminator_features(gan: GAN) -> Features:
    """A function that returns the discriminator's features: the input of its last layer, given the latent's class.

    Raises UsageError if the discriminator judges several images at once.
    """
    if gan.config.pack > 1:
        raise UsageError(
            "This GAN's discriminator judges several samples at once (pack), so it has no features of a single image. "
            "Compare pixels alone: --features none, or features=None."
        )
    last: list[nn.Module] = []

    def features(images: Tensor, latents: Latents) -> Tensor:
        condition = network_condition(gan, latents)

        def call() -> object:
            return gan.discriminator(images, condition)

        last[:] = last or layers(gan.discriminator, call)[-1:]
        return input_of(last[0], call).flatten(1)

    return features


class _Errors:
    """How far images are from the target: squared difference of pixels plus weighted distance of features."""

    def __init__(self, target: Tensor, features: Features | None):
        self.target = target
        self.features = features

    def of(self, gan: GAN, points: Latents) -> tuple[Tensor, Tensor | None]:
        """Total error [N], and the distance of features [N] as a share of the target's squared length, or None."""
        images = generate(gan, points)
        pixels = (images - self.target).square().flatten(1).mean(1)
        if self.features is None:
            return pixels, None
        with torch.no_grad():
            wanted = self.features(self.target.expand_as(images), points)
        distance = (self.features(images, points) - wanted).square().sum(1) / wanted.square().sum(1).clamp_min(1e-12)
        return pixels + FEATURE_WEIGHT * distance, distance


def _improved(
    gan: GAN, points: Latents, errors: _Errors, steps: int, progress: Callable[[int], None]
) -> tuple[Latents, list[Latents]]:
    """The best point on the way from each of `points`, and the points after every step."""
    z = points.z.detach().clone().requires_grad_()
    optimizer = Adam([z], LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    best, best_error, trail = z.detach().clone(), torch.full((len(points),), torch.inf, device=z.device), []
    for step in range(steps + 1):
        error, _ = errors.of(gan, Latents(z, points.condition))
        with torch.no_grad():
            better = error < best_error
            best_error = torch.where(better, error, best_error)
            best[better] = z[better]
        trail.append(Latents(z.detach().clone(), points.condition))
        progress(step)
        if step == steps:
            break
        prior = PRIOR_WEIGHT * z.square().flatten(1).mean(1)
        optimizer.zero_grad()
        (error + prior).sum().backward()
        optimizer.step()
        schedule.step()
    return Latents(best, points.condition), trail


def _thinned(trail: list[Latents], start: int) -> Latents:
    """At most FRAMES points of the way of one start, more of them where it moves fast, at the beginning."""
    count = min(FRAMES, len(trail))
    position = torch.linspace(0, 1, count).square() * (len(trail) - 1)
    return Latents.concatenated([trail[int(i)][start : start + 1] for i in position.round()])
