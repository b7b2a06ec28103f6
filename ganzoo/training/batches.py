"""Batches of real images: uint8 in memory, shuffled by a pure function of (seed, epoch)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ganzoo.data import ImageData
from ganzoo.errors import UsageError


class Batches:
    """Batch number b of an endless shuffled pass over `data`, on `device`.

    Every epoch is a permutation that depends on (seed, epoch) alone and its incomplete last batch is dropped, so a
    batch number says all there is to say about the position: nothing else has to be stored for an exact resume. Images
    that fit stay on the device as uint8; a larger memory map is read batch by batch.
    """

    def __init__(self, data: ImageData, batch_size: int, seed: int, device: torch.device):
        count = len(data.images)
        if batch_size > count:
            raise UsageError(
                f"batch_size={batch_size} is larger than the data set: {data.name} has {count} images. "
                f"Choose batch_size <= {count}."
            )
        self.count = count
        self.batch_size = batch_size
        self.per_epoch = count // batch_size
        self.seed = seed
        self.device = device
        self.mapped = data.images if isinstance(data.images, np.memmap) and not _fits(data.images, device) else None
        self.images = None if self.mapped is not None else torch.from_numpy(np.asarray(data.images)).to(device)
        home = torch.device("cpu") if self.mapped is not None else device
        self.labels = None if data.labels is None else torch.from_numpy(data.labels).to(home)
        self._order: tuple[int, Tensor] | None = None

    def __call__(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Images in [-1, 1], float32 [batch_size, C, size, size], and labels int64 [batch_size] or None."""
        return self.take(self.chosen(number))

    def chosen(self, number: int) -> Tensor:
        """Which images are in batch `number`, int64 [batch_size], where they are read from."""
        epoch, position = divmod(number, self.per_epoch)
        return self._permutation(epoch)[position * self.batch_size : (position + 1) * self.batch_size]

    def take(self, chosen: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images and labels with these numbers, as a batch."""
        if self.images is not None:
            images = self.images[chosen]
        else:
            assert self.mapped is not None
            images = torch.from_numpy(self.mapped[chosen.numpy()]).to(self.device)
        labels = None if self.labels is None else self.labels[chosen].to(self.device)
        return images.float().mul_(1 / 127.5).sub_(1), labels

    def _permutation(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            # a memory map is indexed on the CPU: an order kept elsewhere would have to come back for every batch
            self._order = epoch, torch.from_numpy(order).to("cpu" if self.mapped is not None else self.device)
        return self._order[1]


def _fits(images: np.memmap, device: torch.device) -> bool:
    """Whether a memory map goes to a GPU as a whole: up to half of its free memory. A CPU reads from the map anyway."""
    return device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] // 2
