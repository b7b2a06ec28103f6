"""Batches of real images, uint8 in memory, or points: shuffled by a pure function of (seed, epoch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganzoo.errors import UsageError
from ganzoo.representation import encode

if TYPE_CHECKING:
    from ganzoo.data import Data


class Batches:
    """Batch number b of an endless shuffled pass over `data`, on `device`.

    Every epoch is a permutation that depends on (seed, epoch) alone and its incomplete last batch is dropped, so a
    batch number says all there is to say about the position: nothing else has to be stored for an exact resume. Images
    that fit stay on the device as uint8; a larger memory map is read batch by batch.
    """

    def __init__(self, data: Data, batch_size: int, seed: int, device: torch.device):
        count = len(data)
        if batch_size > count:
            raise UsageError(
                f"batch_size={batch_size} is larger than the data set: {data.name} has {count} {data.spec.kind}. "
                f"Choose batch_size <= {count}."
            )
        self.count = count
        self.batch_size = batch_size
        self.per_epoch = count // batch_size
        self.seed = seed
        self.device = device
        self.spec = data.spec
        mapped = isinstance(data.values, np.memmap) and not _fits(data.values, device)
        self.mapped = data.values if mapped else None
        self.values = None if mapped else torch.from_numpy(np.asarray(data.values)).to(device)
        home = torch.device("cpu") if self.mapped is not None else device
        self.labels = None if data.labels is None else torch.from_numpy(data.labels).to(home)
        self._order: tuple[int, Tensor] | None = None

    def __call__(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Images or points in [-1, 1], float32 [batch_size, *spec.shape], and labels int64 [batch_size] or None."""
        epoch, position = divmod(number, self.per_epoch)
        chosen = self._permutation(epoch)[position * self.batch_size : (position + 1) * self.batch_size]
        if self.values is not None:
            values = self.values[chosen]
        else:
            assert self.mapped is not None
            values = torch.from_numpy(self.mapped[chosen.numpy()]).to(self.device)
        labels = None if self.labels is None else self.labels[chosen].to(self.device)
        return encode(values, self.spec), labels

    def first(self, count: int) -> Tensor:
        """The first `count` examples as the data set holds them, on the CPU."""
        if self.values is not None:
            return self.values[:count].cpu()
        assert self.mapped is not None
        return torch.from_numpy(self.mapped[:count])

    def _permutation(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            # a memory map is indexed on the CPU: an order kept elsewhere would have to come back for every batch
            self._order = epoch, torch.from_numpy(order).to("cpu" if self.mapped is not None else self.device)
        return self._order[1]


def _fits(images: np.memmap, device: torch.device) -> bool:
    """Whether a memory map goes to a GPU as a whole: up to half of its free memory. A CPU reads from the map anyway."""
    return device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] // 2
