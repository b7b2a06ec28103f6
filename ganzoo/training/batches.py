"""Batches of real examples, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganzoo.core import distributed
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import INPUT, LABEL, TARGET
from ganzoo.data.modality import get_modality
from ganzoo.data.normalization import encode
from ganzoo.data.streamed import Streamed
from ganzoo.gan import Condition, condition_of

if TYPE_CHECKING:
    from ganzoo.data import Data


class Batches:
    """The batches of endless shuffled passes over `data`, on `device`; `batches(b)` is batch number b.

    Every epoch is a permutation that depends on (seed, epoch) alone, and its incomplete last batch is dropped. So the
    batch number alone defines the position, for an exact resume; random corruptions depend on (seed, batch number).
    Domains that are not aligned have an order each. Arrays stay on the device as they are stored (the data is then
    `resident`); a memory map that is too large is read batch by batch, and `Streamed` images are decoded a few batches
    in advance. Each rank gets its shard of the batch, or of each of its `parts` microbatches.
    """

    def __init__(self, data: Data, batch_size: int, seed: int, device: torch.device, parts: int = 1):
        count = min(len(data), *(len(values) for values in data.arrays.values()))
        if batch_size > count:
            raise UsageError(
                f"batch_size={batch_size} is larger than the data set: {data.name} has {count} "
                f"{get_modality(data.spec.kind).noun}. Choose batch_size <= {count}."
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
        self.resident = all(isinstance(values, Tensor) for values in self.arrays.values())
        # what is not on the device is indexed on the CPU: an order on the GPU would be copied back for every batch
        self._index_device = device if self.resident else torch.device("cpu")
        self.labels = None if data.labels is None else torch.from_numpy(data.labels).to(self._index_device)
        self._orders: dict[tuple[str, int], Tensor] = {}
        self._turns: Generator[None] | None = None
        self._next = 0

    def __call__(self, number: int) -> tuple[Tensor, Condition]:
        """Examples of the target as networks see them, [n, *spec.shape], and what is given with them.

        n is this rank's share. What is given is None, a tensor (labels int64 [n], input images [n, C', h, w] in
        [-1, 1]) or, of several arrays, a dict of tensors by name.
        """
        target = self.arrays[TARGET]
        if isinstance(target, Streamed):
            self._decode_ahead(target, number)
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

    def close(self) -> None:
        """End what decodes images in advance."""
        if self._turns is not None:
            self._turns.close()
            self._turns = None

    def _decode_ahead(self, target: Streamed, number: int) -> None:
        """Decode the examples of batch `number` and begin with the next; a batch out of turn is left to `_take`."""
        if self._turns is None:
            whole = self.data.corrupt is not None  # inputs are computed for all ranks
            orders = map(self.chosen, itertools.count(number))
            self._turns = target.in_turn(
                (order if whole else distributed.shard(order, self.parts)).numpy() for order in orders
            )
            self._next = number
        if number == self._next:
            next(self._turns)
            self._next += 1

    def _take(self, values: Tensor | np.memmap | Streamed, chosen: Tensor) -> Tensor:
        if isinstance(values, Tensor):
            return values[chosen.to(self.device)]
        return torch.from_numpy(values[chosen.numpy()]).to(self.device)

    def _chosen(self, name: str, count: int, number: int) -> Tensor:
        """The indices of batch `number` in the order of the array `name` of `count` examples."""
        epoch, position = divmod(number, count // self.batch_size)
        if (name, epoch) not in self._orders:
            for old in [key for key in self._orders if key[0] == name and abs(key[1] - epoch) > 1]:
                del self._orders[old]
            seed = [self.seed, epoch, *([] if name == TARGET else [zlib.crc32(name.encode())])]
            order = np.random.default_rng(seed).permutation(count)
            self._orders[name, epoch] = torch.from_numpy(order).to(self._index_device)
        return self._orders[name, epoch][position * self.batch_size : (position + 1) * self.batch_size]


def _resident(values: npt.NDArray[Any], device: torch.device) -> Tensor | np.memmap | Streamed:
    """The values on the device, or the memory map itself: on a CPU, or if it takes half of a GPU's free memory."""
    if isinstance(values, Streamed):
        return values
    if isinstance(values, np.memmap) and (
        device.type != "cuda" or values.nbytes >= torch.cuda.mem_get_info(device)[0] // 2
    ):
        return values
    return torch.from_numpy(np.asarray(values)).to(device)


def _seed_of(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
