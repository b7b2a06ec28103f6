"""Batches of real examples, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import INPUT, LABEL, TARGET
from ganzoo.data.normalization import encode
from ganzoo.gan import Condition, condition_of

if TYPE_CHECKING:
    from ganzoo.data import Data


class Batches:
    """The batches of endless shuffled passes over `data`, on `device`; `batches(b)` is batch number b.

    Every epoch is a permutation that depends on (seed, epoch) alone, and its incomplete last batch is dropped. So the
    batch number alone defines the position, for an exact resume; random corruptions depend on (seed, batch number).
    Domains that are not aligned have an order each. Arrays stay on the device as they are stored (the data is then
    `resident`); a memory map that is too large is read batch by batch. Each rank gets its shard of the batch, or of
    each of its `parts` microbatches.
    """

    def __init__(self, data: Data, batch_size: int, seed: int, device: torch.device, parts: int = 1):
        count = min(len(data), *(len(values) for values in data.arrays.values()))
        if batch_size > count:
            raise UsageError(
                f"batch_size={batch_size} is larger than the data set: {data.name} has {count} {data.spec.kind}. "
                f"Choose batch_size <= {count}."
            )
        self.data = data
        self.spec = data.spec
        self.count = len(data)
        self.batch_size = batch_size
        self.parts = parts
        self.per_epoch = self.count // batch_size
        self.seed = seed
        self.device = device
        self.arrays = {name: _resident(values, device) for name, values in data.arrays.items() if name != LABEL}
        self.resident = not any(isinstance(values, np.memmap) for values in self.arrays.values())
        # a memory map is indexed on the CPU: an order on the GPU would have to be copied back for every batch
        self._index_device = device if self.resident else torch.device("cpu")
        self.labels = None if data.labels is None else torch.from_numpy(data.labels).to(self._index_device)
        self._orders: dict[str, tuple[int, Tensor]] = {}

    def __call__(self, number: int) -> tuple[Tensor, Condition]:
        """Examples of the target as networks see them, [n, *spec.shape], and what is given with them.

        n is this rank's share. What is given is None, a tensor (labels int64 [n], input images [n, C', h, w] in
        [-1, 1]) or, of several arrays, a dict of tensors by name.
        """
        return self.take(self.chosen(number), number)

    def chosen(self, number: int) -> Tensor:
        """The indices of the examples in batch `number`, int64 [batch_size], on the device that the data is on."""
        return self._chosen(TARGET, self.count, number)

    def take(self, batch: Tensor, number: int = 0) -> tuple[Tensor, Condition]:
        """This rank's shard of the examples with these indices.

        Random corruptions, and the examples of domains that are not aligned with the target, depend on the batch
        `number`.
        """
        chosen = distributed.shard(batch, self.parts)
        given = {name: self._given(name, batch, chosen, number) for name in self.spec.given}
        return self.real(chosen), condition_of(given)

    def real(self, chosen: Tensor) -> Tensor:
        """All examples with these indices, on every rank, in [-1, 1], float32 [n, *spec.shape]."""
        return encode(self._take(self.arrays[TARGET], chosen), self.spec)

    def _given(self, name: str, batch: Tensor, chosen: Tensor, number: int) -> Tensor:
        if name == LABEL:
            assert self.labels is not None
            return self.labels[chosen].to(self.device)
        described = self.spec.given[name]
        if name == INPUT and self.data.corrupt is not None:  # of the global batch: ranks see what one process would
            rng = torch.Generator(self.device).manual_seed(_seed_of(self.seed, number))
            corrupted = self.data.corrupt(self._take(self.arrays[TARGET], batch), rng)
            return encode(distributed.shard(corrupted, self.parts), described)
        if not self.spec.aligned:
            indices = self._chosen(name, len(self.arrays[name]), number)
            chosen = distributed.shard(indices, self.parts)
        return encode(self._take(self.arrays[name], chosen), described)

    def _take(self, values: Tensor | np.memmap, chosen: Tensor) -> Tensor:
        if isinstance(values, Tensor):
            return values[chosen.to(self.device)]
        return torch.from_numpy(values[chosen.numpy()]).to(self.device)

    def _chosen(self, name: str, count: int, number: int) -> Tensor:
        """The indices of batch `number` in the order of the array `name` of `count` examples."""
        epoch, position = divmod(number, count // self.batch_size)
        known = self._orders.get(name)
        if known is None or known[0] != epoch:
            seed = [self.seed, epoch, *([] if name == TARGET else [zlib.crc32(name.encode())])]
            order = np.random.default_rng(seed).permutation(count)
            known = self._orders[name] = epoch, torch.from_numpy(order).to(self._index_device)
        return known[1][position * self.batch_size : (position + 1) * self.batch_size]


def _resident(values: npt.NDArray[Any], device: torch.device) -> Tensor | np.memmap:
    """The values on the device, or the memory map itself: on a CPU, or if it takes half of a GPU's free memory."""
    if isinstance(values, np.memmap) and (
        device.type != "cuda" or values.nbytes >= torch.cuda.mem_get_info(device)[0] // 2
    ):
        return values
    return torch.from_numpy(np.asarray(values)).to(device)


def _seed_of(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
