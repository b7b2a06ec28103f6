"""Sample grids: pictures generated from the same noise at every stage of training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.data import ImageData, imaging
from ganzoo.gan import GAN
from ganzoo.training.callbacks import Callback
from ganzoo.training.run import Run
from ganzoo.training.state import TrainingState

if TYPE_CHECKING:
    from ganzoo.data import Data
    from ganzoo.training.batches import Batches

SEED = 0
POINTS = 2500


def write_samples(state: TrainingState, batches: Batches, run: Run, callbacks: Callback) -> None:
    """Write a sample grid of the moving average, unless the run has one for this step."""
    path = run.samples / f"step-{state.step:08d}.png"
    if distributed.rank() == 0 and not path.exists():
        with state.average():
            imaging.save(sample_picture(state.gan, batches.data), path)
        callbacks.on_samples(path, state.step)


def sample_picture(gan: GAN, data: Data, columns: int = 10) -> Tensor:
    """A picture uint8 [C, H, W] of samples.

    Points are drawn over real ones. Images of a conditional GAN are in one row per class (at most 10), those of a
    paired GAN in three rows each of inputs, outputs and targets, all others in 8 rows.
    """
    if not isinstance(data, ImageData):
        real = torch.from_numpy(data.points[:POINTS])
        return imaging.scatter(gan.sample(POINTS, seed=SEED), gan.spec.scale, real)
    if gan.paired:
        inputs, targets = data.examples(3 * columns)
        columns = min(columns, len(inputs))
        outputs = gan.sample(len(inputs), inputs=inputs, seed=SEED)
        return imaging.grid(imaging.interleave([inputs, outputs, targets], columns), columns)
    rows = min(gan.classes, 10) or 8
    labels = torch.arange(rows).repeat_interleave(columns) if gan.conditional else None
    return imaging.grid(gan.sample(rows * columns, labels, seed=SEED), columns)
