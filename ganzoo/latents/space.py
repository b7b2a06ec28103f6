"""Points of a latent space: noise, and classes or codes as numbers that can be mixed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.core import config as configs
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import LABEL, DataSpec
from ganzoo.data.normalization import decode
from ganzoo.gan import GAN
from ganzoo.gan.sampling import checked_labels, evaluating, sampling_with

MAX_REDRAWS = 1000
"""How often truncation draws values again; a bound of 0.005 standard deviations needs about as many."""


@dataclass(frozen=True, eq=False)
class Latents:
    """N points of a latent space.

    z: noise, [N, ...] as `GAN.latent` draws it.
    condition: None, or float [N, K]: for a GAN with labels the weight of each class, 1 for the class itself; for one
        with codes, such as InfoGAN, the codes.
    """

    z: Tensor
    condition: Tensor | None = None

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> Latents:
        """The points of a slice, or of a list or tensor of indices."""
        return Latents(self.z[index], None if self.condition is None else self.condition[index])

    @staticmethod
    def concatenated(parts: Sequence[Latents]) -> Latents:
        """The points of all `parts`, which must be of one GAN."""
        conditions = [part.condition for part in parts if part.condition is not None]
        return Latents(torch.cat([part.z for part in parts]), torch.cat(conditions) if conditions else None)


@contextlib.contextmanager
def as_sampling(gan: GAN) -> Iterator[None]:
    """While entered, `gan` generates as in `gan.sample`: in eval mode, with its card's sampling settings.

    Settings that are in force already, by `ganzoo.gan.sampling.sampling_with`, stay.
    """
    settings = contextlib.nullcontext() if gan.sampling is not None else sampling_with(gan, {})
    with evaluating(gan.generator), settings:
        yield


def require_latent(gan: GAN) -> None:
    """Raise UsageError unless the images of `gan` depend on noise that can be chosen."""
    others = gan.spec.given.keys() - {LABEL}
    if others:
        raise UsageError(
            f"This GAN has no latent space: it generates from {' and '.join(sorted(others))}, not from noise."
        )
    rng = torch.Generator(gan.device).manual_seed(0)
    given = torch.zeros(2, dtype=torch.int64, device=gan.device) if gan.conditional else None
    with torch.no_grad(), as_sampling(gan):
        z, condition = gan.latent(2, rng), gan.condition(given, 2, rng)
        first, second = gan.generate(z, None if condition is None else condition[:1].expand_as(condition))
    if z.numel() == 0 or torch.equal(first, second):
        raise UsageError("This GAN has no latent space: its images do not depend on the noise.")


def sample(
    gan: GAN,
    count: int,
    labels: Sequence[int] | Tensor | None = None,
    seed: int = 0,
    truncation: float | None = None,
) -> Latents:
    """The points that `gan.sample(count, labels, seed)` makes images of; by default the classes alternate.

    With `truncation`, values of z beyond it in magnitude are drawn again: the truncation trick of Brock et al. 2019,
    arXiv:1809.11096, section 3.1, which trades variety for quality. Raises UsageError for a GAN without a latent space,
    for labels that do not fit it, and for a bound that noise does not reach.
    """
    require_latent(gan)
    count, seed = configs.integer("count", count, ge=0), configs.integer("seed", seed, ge=0, le=configs.MAX_SEED)
    rng = torch.Generator(gan.device).manual_seed(seed)
    return draw(gan, count, checked(gan, count, labels), rng, truncation)


def checked(gan: GAN, count: int, labels: Sequence[int] | Tensor | None) -> Tensor | None:
    """The labels of `count` samples on the GAN's device, by default alternating; None if it takes none."""
    if labels is not None and not gan.conditional:
        raise UsageError("This GAN is not conditional: it takes no labels.")
    labels = gan.class_labels(count) if labels is None else labels
    return None if labels is None else checked_labels(labels, count, gan.classes, gan.class_names).to(gan.device)


def draw(gan: GAN, count: int, labels: Tensor | None, rng: torch.Generator, truncation: float | None = None) -> Latents:
    """The next `count` points of `rng`, with labels as `checked` returns them."""
    with as_sampling(gan):
        z, condition = gan.latent(count, rng), gan.condition(labels, count, rng)
        z = z if truncation is None else _truncated(gan, z, truncation, rng)
    if condition is not None and not condition.is_floating_point():
        condition = nn.functional.one_hot(condition, gan.classes).float()
    return Latents(z, condition)


def of_seeds(
    gan: GAN, seeds: Sequence[int], labels: Sequence[int] | None = None, truncation: float | None = None
) -> Latents:
    """One point for each seed: that of `gan.sample(1, [label], seed)`. Labels alternate by default; see `sample`."""
    if not seeds:
        raise UsageError("At least one seed is needed.")
    if labels is None and gan.conditional:
        labels = [i % gan.classes for i in range(len(seeds))]
    if labels is not None and len(labels) != len(seeds):
        raise UsageError(f"Expected {len(seeds)} labels, one per seed, but got {len(labels)}.")
    return Latents.concatenated(
        [sample(gan, 1, None if labels is None else [labels[i]], seed, truncation) for i, seed in enumerate(seeds)]
    )


def generate(gan: GAN, latents: Latents) -> Tensor:
    """Images in [-1, 1], [N, C, size, size], or points [N, C], differentiable in the latents.

    Call it within `as_sampling`. Mixed classes are mixed in the embeddings of the generator; UsageError if
    it has none.
    """
    z, condition = latents.z, latents.condition
    labels = network_condition(gan, latents)
    if condition is None or labels is condition:
        return gan.generate(z, condition)
    if not condition.requires_grad and torch.equal(condition, nn.functional.one_hot(labels, gan.classes).float()):
        return gan.generate(z, labels)
    with _mixing_classes(gan.generator, condition):
        return gan.generate(z, labels)


@torch.no_grad()
def render(gan: GAN, latents: Latents, chunk: int = 256) -> Tensor:
    """Images uint8 [N, C, size, size], or points float32 [N, C], on the CPU, generated `chunk` at a time."""
    with as_sampling(gan):
        parts = [decode(generate(gan, latents[i : i + chunk]), gan.spec) for i in range(0, len(latents), chunk)]
    return torch.cat(parts) if parts else _nothing(gan.spec)


def _nothing(spec: DataSpec) -> Tensor:
    return decode(torch.empty(0, *spec.shape), spec)


def network_condition(gan: GAN, latents: Latents) -> Any:
    """The condition that the networks receive: labels int64 [N], those of the largest weights, or codes, or None."""
    if latents.condition is None or not _takes_labels(gan):
        return latents.condition
    return latents.condition.argmax(1)


def _takes_labels(gan: GAN) -> bool:
    """Whether the generator's condition is labels, not codes."""
    if not gan.conditional:
        return False
    rng = torch.Generator(gan.device).manual_seed(0)
    condition = gan.condition(torch.zeros(1, dtype=torch.int64, device=gan.device), 1, rng)
    return condition is not None and not condition.is_floating_point()


@contextlib.contextmanager
def _mixing_classes(generator: nn.Module, weights: Tensor) -> Iterator[None]:
    """Within, embeddings of labels [N] are sums of the embeddings of all classes, with `weights` [N, classes]."""
    count, classes = weights.shape
    mixed = []

    def mix(table: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if inputs[0].shape != (count,):
            return None
        mixed.append(table)
        embedded: Tensor = weights.to(output.dtype) @ table.weight[:classes].to(output.dtype)
        return embedded

    tables = [m for m in generator.modules() if isinstance(m, nn.Embedding) and m.num_embeddings >= classes]
    handles = [table.register_forward_hook(mix) for table in tables]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if not mixed:
        raise UsageError("This generator has no nn.Embedding of the labels, so that its classes cannot be mixed.")


def _truncated(gan: GAN, z: Tensor, bound: float, rng: torch.Generator) -> Tensor:
    for _ in range(MAX_REDRAWS):
        outside = z.abs() > bound
        if not outside.any():
            return z
        z = torch.where(outside, gan.latent(len(z), rng), z)
    raise UsageError(f"truncation={bound:g} is too small: after {MAX_REDRAWS:,} draws some noise still lies beyond it.")
