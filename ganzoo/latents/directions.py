"""Directions of a latent space along which images change: GANSpace, SeFa, and differences of class means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ganzoo.core.errors import UsageError
from ganzoo.gan import GAN
from ganzoo.latents.layers import input_of, layers, output_of
from ganzoo.latents.space import Latents, as_sampling, generate, render, sample

SAMPLES = 10_000
"""Latents whose activations GANSpace analyses."""
CHUNK = 500
BASES = 16
"""Points at which SeFa takes the first layer's derivative, which is the same everywhere if that layer sees z itself."""
STEP = 0.5
EXTENT = 3.0
"""How far to go in each direction, in standard deviations of the noise."""
PROBES = 64
"""Points at which the effect of a direction is measured."""


@dataclass(frozen=True, eq=False)
class Directions:
    """Unit vectors in latent space, the one with the largest effect first.

    vectors: [K, ...] in the shape of one point's z.
    effects: [K], the root mean square difference of pixels, 0 to 255, or of points' coordinates, between images at
        -EXTENT and +EXTENT along the direction.
    names: what to call each.
    """

    method: str
    vectors: Tensor
    effects: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.vectors)

    def first(self, count: int) -> Directions:
        """The `count` directions with the largest effects."""
        return Directions(self.method, self.vectors[:count], self.effects[:count], self.names[:count])


def ganspace(
    gan: GAN, count: int = 8, labels: Sequence[int] | None = None, seed: int = 0, samples: int | None = None
) -> Directions:
    """Principal components of the first layer's activations, carried over to z: Härkönen et al. 2020, arXiv:2004.02546.

    Activations are what the second layer sees. As they do for BigGAN, components are found among the activations of
    `samples` latents (10,000) and mapped to z by linear regression. What follows from the class or the
    codes is subtracted first, so that directions are of the noise; `labels` are as in `latents.sample`, repeated.
    """
    samples = SAMPLES if samples is None else samples
    points = sample(gan, samples, _repeated(labels, samples), seed)
    with torch.no_grad(), as_sampling(gan):
        found = layers(gan.generator, lambda: generate(gan, points[:1]))
        parts = []
        for i in range(0, samples, CHUNK):
            chunk = points[i : i + CHUNK]
            capture = input_of if len(found) > 1 else output_of
            layer = found[min(1, len(found) - 1)]
            parts.append(capture(layer, lambda chunk=chunk: generate(gan, chunk)).flatten(1))  # type: ignore[misc]
    activations, z = torch.cat(parts).float(), points.z.flatten(1)
    known = torch.ones(samples, 1, device=z.device)
    if points.condition is not None:
        known = torch.cat([known, points.condition], 1)
    activations -= known @ torch.linalg.lstsq(known, activations, driver=_driver(known)).solution
    count = min(count, z.shape[1], activations.shape[1])
    with torch.random.fork_rng([z.device] if z.device.type == "cuda" else []):
        torch.manual_seed(seed)
        _, _, components = torch.svd_lowrank(activations, count + 10 if count + 10 <= min(activations.shape) else count)
    coordinates = activations @ components[:, :count]
    vectors = torch.linalg.lstsq(coordinates, z).solution
    return _sorted(gan, "ganspace", vectors, [f"component {i + 1}" for i in range(count)], labels, seed)


def sefa(gan: GAN, count: int = 8, labels: Sequence[int] | None = None, seed: int = 0) -> Directions:
    """Eigenvectors of A^T A with the largest eigenvalues, A the first layer's weights: Shen and Zhou, arXiv:2007.06600.

    A is the derivative of the layer's output by z: the weights themselves, if it is an affine layer, or a transposed
    convolution, of z alone. Where z is concatenated with an embedding, or multiplied by one, A has the columns that z
    meets, and A^T A is a mean over classes.
    """
    bases = sample(gan, BASES, _repeated(labels, BASES), seed)
    shape, size = bases.z.shape[1:], bases.z[0].numel()
    moves = STEP * torch.eye(size, device=gan.device).reshape(size, *shape)
    gram = torch.zeros(size, size, dtype=torch.float64, device=gan.device)
    with torch.no_grad(), as_sampling(gan):
        first = layers(gan.generator, lambda: generate(gan, bases[:1]))[0]
        for i in range(BASES):
            base = bases[i : i + 1]
            condition = None if base.condition is None else base.condition.expand(2 * size, -1)
            around = Latents(torch.cat([base.z + moves, base.z - moves]), condition)
            output = output_of(first, lambda around=around: generate(gan, around)).double()  # type: ignore[misc]
            ahead, behind = output.flatten(1).chunk(2)
            derivative = (ahead - behind) / (2 * STEP)  # row j: by the j-th value of z
            gram += derivative @ derivative.T / BASES
    values, vectors = torch.linalg.eigh(gram)
    order = values.argsort(descending=True)[:count]
    chosen = vectors[:, order].T.float()
    return _sorted(gan, "sefa", chosen, [f"eigenvector {i + 1}" for i in range(len(chosen))], labels, seed)


def class_means(gan: GAN, points: Latents, classes: Tensor, names: Sequence[str]) -> Directions:
    """Mean z of each class minus the mean of all: Radford et al. 2016's arithmetic with a classifier's help.

    `classes` int64 [N] are what a classifier, or you, see in the images of `points`; `names` are those of the classes.
    Classes of fewer than two points are left out. Raises UsageError if only one class is seen.
    """
    z = points.z.flatten(1)
    seen = [c for c in range(len(names)) if int((classes == c).sum()) > 1]
    if len(seen) < 2:
        raise UsageError("All samples are of one class: there is no difference between classes.")
    vectors = torch.stack([z[(classes == c).to(z.device)].mean(0) - z.mean(0) for c in seen])
    return _sorted(gan, "classes", vectors, [names[c] for c in seen], None, 0)


def along(point: Latents, directions: Directions, steps: int = 7, extent: float = EXTENT) -> Latents:
    """`point`, one of them, moved from -extent to +extent along each direction, in `steps`: [K * steps], row by row."""
    amounts = torch.linspace(-extent, extent, steps, device=point.z.device)
    moves = directions.vectors[:, None] * amounts.reshape(1, -1, *[1] * (point.z.dim() - 1))
    z = point.z + moves.flatten(0, 1)
    return Latents(z, None if point.condition is None else point.condition.expand(len(z), -1))


def _sorted(
    gan: GAN, method: str, vectors: Tensor, names: Sequence[str], labels: Sequence[int] | None, seed: int
) -> Directions:
    """`vectors` [K, D] as directions with their effects, the largest first."""
    points = sample(gan, PROBES, _repeated(labels, PROBES), seed)
    units = torch.nn.functional.normalize(vectors, dim=1).reshape(-1, *points.z.shape[1:])
    effects = torch.stack([_effect(gan, points, unit) for unit in units])
    order = effects.argsort(descending=True)
    return Directions(method, units[order], effects[order], tuple(names[i] for i in order.tolist()))


def _effect(gan: GAN, points: Latents, unit: Tensor) -> Tensor:
    back, ahead = (render(gan, Latents(points.z + sign * EXTENT * unit, points.condition)).float() for sign in (-1, 1))
    return (ahead - back).square().mean().sqrt()


def _repeated(labels: Sequence[int] | None, count: int) -> list[int] | None:
    return None if labels is None else [labels[i % len(labels)] for i in range(count)]


def _driver(matrix: Tensor) -> str | None:
    """The solver for a matrix that may not have full rank: constant and one-hot columns are dependent."""
    return "gelsd" if matrix.device.type == "cpu" else None
