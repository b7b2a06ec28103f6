"""Instance noise: Sønderby et al. 2017, arXiv:1610.04490."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.augmentations import normal

DEVIATION = 0.1
"""Standard deviation of the noise; images are in [-1, 1]."""


def noise(images: Tensor, rng: torch.Generator) -> Tensor:
    """Adds Gaussian noise to images [N, ...], so that no detail fainter than it tells real from generated ones.

    In expectation it is a penalty on the discriminator's gradient (Roth et al. 2017, arXiv:1705.09367), which also
    works with batch norm, where R1 is not defined.
    """
    return images + DEVIATION * normal(images, *images.shape[1:], rng=rng).to(images.dtype)
