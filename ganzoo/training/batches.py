"""Batches of real images or points, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import UsageError
from ganzoo.data.normalization import encode, from_uint8

if TYPE_CHECKING:
    from ganzoo.data import Data


class Batches:
    """The batches of endless shuffled passes over `data`, on `device`; `batches(b)` is batch number b.

    Every epoch is a permutation that depends on (seed, epoch) alone, and its incomplete last batch is dropped. So the
    batch number alone defines the position, for an exact resume; random corruptions depend on (seed, batch number).
    Images stay on the device as uint8; a memory map that is too large is read batch by batch. Each rank gets its shard
    of the batch, or of each of its `parts` microbatches.
    """

    def __init__(self, data: Data, batch_size: int, seed: int, device: torch.device, parts: int = 1):
        count = len(data)
        if batch_size > count:
            raise UsageError(
                f"batch_size={batch_size} is larger than the data set: {data.name} has {count} {data.spec.kind}. "
                f"Choose batch_size <= {count}."
            )
        self.data = data
        self.spec = data.spec
        self.count = count
        self.batch_size = batch_size
        self.parts = parts
        self.per_epoch = count // batch_size
        self.seed = seed
        self.device = device
        self.values = _resident(data.values, device)
        self.inputs = None if data.inputs is None else _resident(data.inputs, device)
        mapped = isinstance(self.values, np.memmap) or isinstance(self.inputs, np.memmap)
        # a memory map is indexed on the CPU: an order on the GPU would have to be copied back for every batch
        self.index_device = torch.device("cpu") if mapped else device
        self.labels = None if data.labels is None else torch.from_numpy(data.labels).to(self.index_device)
        self._order: tuple[int, Tensor] | None = None

    def __call__(self, number: int) -> tuple[Tensor, Tensor | None]:
        """Images or points in [-1, 1], float32 [n, *spec.shape], and their condition; n is this rank's share.

        The condition is input images in [-1, 1], float32 [n, C', size, size], for paired data, else labels int64 [n],
        or None.
        """
        return self.take(self.chosen(number), number)

    def chosen(self, number: int) -> Tensor:
        """The indices of the examples in batch `number`, int64 [batch_size], on the device that the data is on."""
        epoch, position = divmod(number, self.per_epoch)
        return self._permutation(epoch)[position * self.batch_size : (position + 1) * self.batch_size]

    def take(self, batch: Tensor, number: int = 0) -> tuple[Tensor, Tensor | None]:
        """This rank's shard of the examples with these indices; random corruptions depend on the batch `number`."""
        chosen = distributed.shard(batch, self.parts)
        real = self.real(chosen)
        if self.inputs is not None:
            return real, from_uint8(self._take(self.inputs, chosen))
        if self.data.corrupt is not None:  # of the global batch: ranks see what one process would see
            rng = torch.Generator(self.device).manual_seed(_seed_of(self.seed, number))
            corrupted = self.data.corrupt(self._take(self.values, batch), rng)
            return real, from_uint8(distributed.shard(corrupted, self.parts))
        return real, None if self.labels is None else self.labels[chosen].to(self.device)

    def real(self, chosen: Tensor) -> Tensor:
        """All examples with these indices, on every rank, in [-1, 1], float32 [n, *spec.shape]."""
        return encode(self._take(self.values, chosen), self.spec)

    def _take(self, images: Tensor | np.memmap, chosen: Tensor) -> Tensor:
        if isinstance(images, Tensor):
            return images[chosen.to(self.device)]
        return torch.from_numpy(images[chosen.numpy()]).to(self.device)

    def _permutation(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            self._order = epoch, torch.from_numpy(order).to(self.index_device)
        return self._order[1]


def _resident(images: npt.NDArray[np.uint8] | npt.NDArray[np.float32], device: torch.device) -> Tensor | np.memmap:
    """The images on the device, or the memory map itself: on a CPU, or if it takes half of a GPU's free memory."""
    if isinstance(images, np.memmap) and (
        device.type != "cuda" or images.nbytes >= torch.cuda.mem_get_info(device)[0] // 2
    ):
        return images
    return torch.from_numpy(np.asarray(images)).to(device)


def _seed_of(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
