"""Sample grids: pictures generated from the same noise at every stage of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.spec import LABEL, Field
from ganzoo.data import imaging
from ganzoo.data.modality import get_modality
from ganzoo.gan import GAN
from ganzoo.training.callbacks import Callback
from ganzoo.training.run import Run
from ganzoo.training.state import TrainingState

if TYPE_CHECKING:
    from ganzoo.data import Data
    from ganzoo.training.batches import Batches

SEED = 0
PLOTTED = 2500
"""Examples in a plot of many."""


def write_samples(state: TrainingState, batches: Batches, run: Run, callbacks: Callback) -> None:
    """Write a sample grid of the moving average, unless the run has one for this step."""
    path = run.samples / f"step-{state.step:08d}.png"
    if distributed.rank() == 0 and not path.exists():
        with state.average():
            imaging.save(sample_picture(state.gan, batches.data), path)
        callbacks.on_samples(path, state.step)


def sample_picture(gan: GAN, data: Data, columns: int = 10) -> Tensor:
    """A picture uint8 [C, H, W] of samples.

    Plots, as of points, show real examples as well. Samples of a conditional GAN are in one row per class (at most 10),
    those of a paired GAN in rows of inputs, outputs and, if they belong together, targets, all others in 8 rows.
    """
    modality, field = get_modality(gan.spec.kind), gan.spec.target
    if not modality.in_grid:
        real = torch.from_numpy(np.array(data.values[data.spread(PLOTTED)]))
        return modality.picture(gan.sample(PLOTTED, seed=SEED), field, columns, real)
    if gan.spec.given.keys() - {LABEL}:
        kinds = [
            images
            for values, described in translations(gan, data, 3 * columns)
            if (images := get_modality(described.modality).images(values, described)) is not None
        ]
        columns = min(columns, len(kinds[0]))
        return imaging.grid(imaging.interleave(kinds, columns), columns)
    rows = min(gan.classes, 10) or 8
    labels = torch.arange(rows).repeat_interleave(columns) if gan.conditional else None
    return modality.picture(gan.sample(rows * columns, labels, seed=SEED), field, columns)


def translations(gan: GAN, data: Data, count: int) -> list[tuple[Tensor, Field]]:
    """What is given in `data`, the GAN's outputs for it, and the targets if the data are aligned, as `data` store them.

    The at most `count` examples are evenly spaced over the data.
    """
    chosen = data.spread(count)
    given = data.given_with(chosen)
    kinds = [(values, gan.spec.given[name]) for name, values in given.items()]
    kinds.append((gan.sample(len(chosen), seed=SEED, given=given), gan.spec.target))
    if data.aligned:
        kinds.append((torch.from_numpy(np.array(data.values[chosen])), gan.spec.target))
    return kinds
