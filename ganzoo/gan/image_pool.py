"""A memory of generated images, from which the discriminator learns beside new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo.core import distributed


class ImagePool:
    """The images of earlier steps: Shrivastava et al. 2017, arXiv:1612.07828, section 2.3; CycleGAN, section 4.

    It is filled first. Then each new image is returned as it is with probability 1/2; otherwise it takes the place of
    an image of the pool, which is returned instead. All ranks hold the same pool, which a GAN saves in its `state`.
    """

    def __init__(self, size: int):
        self.size = size
        self.images: Tensor | None = None
        self.filled = 0

    def replace(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """As many images as given, [N, ...], some of them from the pool; `rng` is the same on every rank."""
        if not self.size:
            return images
        everyone = _of_all_ranks(images.detach())
        return distributed.shard(torch.cat([self._replace(part, rng) for part in everyone.split(self.size)]))

    def _replace(self, images: Tensor, rng: torch.Generator) -> Tensor:
        if self.images is None:
            self.images = images.new_zeros(self.size, *images.shape[1:])
        new = min(self.size - self.filled, len(images))
        self.images[self.filled : self.filled + new] = images[:new]
        self.filled += new
        if new == len(images):
            return images
        rest, device = images[new:], images.device
        places = torch.randperm(self.size, device=device, generator=rng)[: len(rest)]
        swapped = torch.rand(len(rest), *[1] * (rest.dim() - 1), device=device, generator=rng) < 0.5
        old = self.images[places]
        self.images[places] = torch.where(swapped, rest, old)
        return torch.cat([images[:new], torch.where(swapped, old, rest)])

    def state(self) -> dict[str, Any]:
        """What `load_state` continues from."""
        return {"filled": self.filled} | ({} if self.images is None else {"images": self.images})

    def load_state(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Continue from what `state` returned."""
        self.filled = state["filled"]
        self.images = state["images"].to(device) if "images" in state else None


def _of_all_ranks(images: Tensor) -> Tensor:
    """The images of all ranks, in the order of one process."""
    if distributed.size() == 1:
        return images
    slots = images.new_zeros(distributed.size(), *images.shape)
    slots[distributed.rank()] = images
    return distributed.all_reduce_sum(slots).flatten(0, 1)
