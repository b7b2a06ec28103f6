"""Diagnostics of the generator beyond the losses, measured once per row of metrics.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganzoo.core.spec import LABEL
from ganzoo.data.normalization import encode
from ganzoo.gan import condition_of, evaluating

if TYPE_CHECKING:
    from ganzoo.training.batches import Batches
    from ganzoo.training.state import TrainingState

SAMPLES = 64
NOISE_SEED = 0
DUPLICATE_DISTANCE = 0.1
"""A sample is a duplicate if its nearest neighbour is nearer than this share of the usual distance in real data."""


class Diagnostics:
    """Sample diversity of the generator for a fixed batch of noise, as scalars that stay on the device.

    diversity: mean distance between samples, as a multiple of the mean distance between real examples.
    duplicates: share of samples that are duplicates of another one.
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
        # 0 if all examples are equal: any difference between samples is then infinitely larger
        self.real_distance = distances[distances.isfinite()].mean()
        self.duplicate_distance = DUPLICATE_DISTANCE * distances.min(dim=1).values.median()

    @torch.no_grad()
    def measure(self) -> dict[str, Tensor]:
        """The current diagnostics of the generator."""
        state = self.state
        with state.autocast(), evaluating(state.gan.generator):
            distances = _distances(state.gan.generate(self.noise, self.condition).float())
        return {
            "diversity": distances[distances.isfinite()].mean() / self.real_distance,
            "duplicates": (distances.min(dim=1).values < self.duplicate_distance).float().mean(),
        }


def _distances(samples: Tensor) -> Tensor:
    """Euclidean distances [N, N] between samples [N, ...], with infinity on the diagonal."""
    flat = samples.flatten(1)
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")  # exact for duplicates
    return distances.fill_diagonal_(torch.inf)
