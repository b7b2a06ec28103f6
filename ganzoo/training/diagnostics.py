"""Diagnostics of the generator beyond the losses, measured once per row of metrics.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganzoo.core.spec import LABEL
from ganzoo.data.normalization import encode
from ganzoo.gan import condition_of, evaluating

if TYPE_CHECKING:
    from ganzoo.gan import GAN
    from ganzoo.training.batches import Batches
    from ganzoo.training.state import TrainingState

SAMPLES = 64
NOISE_SEED = 0
CLASSES = 8
NOISES = 4
"""Classes, and noise vectors of each, by which the effect of the label is measured."""
DUPLICATE_DISTANCE = 0.1
"""A sample is a duplicate if its nearest neighbour is nearer than this share of the usual distance in real data."""


class Diagnostics:
    """Sample diversity of the generator for a fixed batch of noise, as scalars that stay on the device.

    diversity: mean distance between samples, as a multiple of the mean distance between real examples.
    duplicates: share of samples that are duplicates of another one.
    label_effect: for a GAN with classes, mean distance between samples of the same noise and different classes, as a
        multiple of the mean distance between samples of different noise and the same class.
    """

    def __init__(self, state: TrainingState, batches: Batches):
        gan = state.gan
        self.state = state
        rng = torch.Generator(gan.device).manual_seed(NOISE_SEED)
        labels, given = gan.class_labels(SAMPLES), batches.data.given_with(batches.data.spread(SAMPLES))
        count = min([SAMPLES, *map(len, given.values())])
        parts = {} if labels is None else {LABEL: labels[:count]}
        parts |= {name: encode(values, gan.spec.given[name]) for name, values in given.items()}
        self.noise = gan.latent(count, rng)
        self.condition = gan.condition(condition_of({k: part.to(gan.device) for k, part in parts.items()}), count, rng)
        examples = torch.cat([batches.chosen(number) for number in range(-(-count // batches.batch_size))])[:count]
        distances = _distances(batches.real(examples))
        # 0 or NaN if all examples are equal, or if there is one: the diversity is then not finite
        self.real_distance = distances[distances.isfinite()].mean()
        self.duplicate_distance = DUPLICATE_DISTANCE * distances.min(dim=1).values.median()

        self.by_class = _same_noise_by_class(gan)

    @torch.no_grad()
    def measure(self) -> dict[str, Tensor]:
        """The current diagnostics of the generator."""
        state = self.state
        with state.autocast(), evaluating(state.gan.generator):
            distances = _distances(state.gan.generate(self.noise, self.condition).float())
            measured = {
                "diversity": distances[distances.isfinite()].mean() / self.real_distance,
                "duplicates": (distances.min(dim=1).values < self.duplicate_distance).float().mean(),
            }
            if self.by_class is not None:
                measured["label_effect"] = _label_effect(state.gan.generate(*self.by_class).float())
        return measured


def _same_noise_by_class(gan: GAN) -> tuple[Tensor, Tensor] | None:
    """Noise and conditions of CLASSES classes for the same NOISES noise vectors, the classes one after the other.

    None if the GAN has no classes, makes no condition of a label, or is given more than labels.
    """
    if gan.classes < 2 or len(gan.spec.given) > 1:
        return None
    rng = torch.Generator(gan.device)
    noises, conditions = [], []
    for label in torch.linspace(0, gan.classes - 1, min(CLASSES, gan.classes)).round().long().tolist():
        rng.manual_seed(NOISE_SEED)  # what a condition holds besides the class is the same for all of them, too
        noises.append(gan.latent(NOISES, rng))
        condition = gan.condition(torch.full((NOISES,), label, device=gan.device), NOISES, rng)
        if condition is None:
            return None
        conditions.append(condition)
    return torch.cat(noises), torch.cat(conditions)


def _label_effect(samples: Tensor) -> Tensor:
    """The `label_effect` of samples for the noise of `_same_noise_by_class`."""
    by_class = samples.flatten(1).unflatten(0, (-1, NOISES))
    between_classes = torch.stack([_distances(of_noise) for of_noise in by_class.unbind(1)])
    between_noises = torch.stack([_distances(of_class) for of_class in by_class.unbind(0)])
    return between_classes[between_classes.isfinite()].mean() / between_noises[between_noises.isfinite()].mean()


def _distances(samples: Tensor) -> Tensor:
    """Euclidean distances [N, N] between samples [N, ...], with infinity on the diagonal."""
    flat = samples.flatten(1)
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")  # exact for duplicates
    return distances.fill_diagonal_(torch.inf)
