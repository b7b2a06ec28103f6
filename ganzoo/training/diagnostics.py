"""Signs of health: read from networks and a fixed batch of noise once a line of metrics.jsonl, never in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganzoo.data import ImageData
from ganzoo.data.normalization import from_uint8
from ganzoo.gan import evaluating

if TYPE_CHECKING:
    from ganzoo.training.batches import Batches
    from ganzoo.training.state import TrainingState

COUNT = 64
NOISE_SEED = 0
NEAR = 0.1
"""A sample is a duplicate where its nearest neighbour is nearer than this share of what is usual among real data."""


class Health:
    """What can be seen of a training that losses do not tell, as scalars that stay on the device.

    diversity: mean distance between samples of a fixed batch of noise, as a multiple of that between real data.
    duplicates: share of these samples that have a twin among them.
    """

    def __init__(self, state: TrainingState, batches: Batches):
        gan = state.gan
        self.state = state
        rng = torch.Generator(gan.device).manual_seed(NOISE_SEED)
        given = gan.class_labels(COUNT)
        if isinstance(batches.data, ImageData) and gan.paired:
            given = from_uint8(batches.data.examples(COUNT)[0])
        count = COUNT if given is None else len(given)
        self.noise = gan.latent(count, rng)
        self.condition = gan.condition(None if given is None else given.to(gan.device), count, rng)
        chosen = torch.cat([batches.chosen(number) for number in range(-(-count // batches.batch_size))])[:count]
        distances = _distances(batches.real(chosen))
        # a set of equal images has no spread to compare with: any sample then differs infinitely
        self.spread = distances[distances.isfinite()].mean()
        self.near = NEAR * distances.min(dim=1).values.median()

    @torch.no_grad()
    def measure(self) -> dict[str, Tensor]:
        """The signals at this moment, after a step."""
        state = self.state
        with state.autocast(), evaluating(state.gan.generator):
            distances = _distances(state.gan.generate(self.noise, self.condition).float())
        return {
            "diversity": distances[distances.isfinite()].mean() / self.spread,
            "duplicates": (distances.min(dim=1).values < self.near).float().mean(),
        }


def _distances(samples: Tensor) -> Tensor:
    """Euclidean distances [N, N] between samples [N, ...], infinite between each and itself."""
    flat = samples.flatten(1)
    distances = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")  # exact for twins
    return distances.fill_diagonal_(torch.inf)
