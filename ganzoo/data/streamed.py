"""Examples that are decoded whenever they are read, for data that are larger than memory and disk."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Generator, Iterable
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ganzoo.data.parallel import ahead

Indices = npt.NDArray[np.int64]


class Streamed:
    """Stands for an array [N, ...] of loaded data: has its shape and type, and is indexed by its first axis.

    `decode(i)` is example i; it may raise DataError. Examples that are `held` are not decoded again.
    """

    def __init__(self, decode: Callable[[int], npt.NDArray[Any]], shape: tuple[int, ...], dtype: npt.DTypeLike):
        self.decode = decode
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.held: dict[int, npt.NDArray[Any]] = {}

    @classmethod
    def array(
        cls, decode: Callable[[int], npt.NDArray[Any]], shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """It, in the eyes of a type checker an array."""
        return cast("npt.NDArray[Any]", cls(decode, shape, dtype))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: Any) -> npt.NDArray[Any]:
        """The examples of an index, a slice, or an array of indices or booleans, decoded in this process."""
        if isinstance(which, (int, np.integer)):
            return self._example(range(len(self))[operator.index(which)])
        chosen = np.arange(len(self))[which]
        values = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for place, number in enumerate(chosen.tolist()):
            values[place] = self._example(number)
        return values

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def in_turn(self, batches: Iterable[Indices]) -> Generator[None]:
        """Hold the examples of one batch of indices after the other, decoded in advance by worker processes."""
        with contextlib.closing(ahead(self._decoded, batches)) as results:
            for held in results:
                self.held = held
                yield

    def _decoded(self, chosen: Indices) -> dict[int, npt.NDArray[Any]]:
        return {number: self.decode(number) for number in chosen.tolist()}

    def _example(self, number: int) -> npt.NDArray[Any]:
        held = self.held.get(number)
        return self.decode(number) if held is None else held
