"""Loaded data: named arrays with a field each."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ganzoo.core.errors import DataError
from ganzoo.core.spec import INPUT, LABEL, TARGET, DataSpec, Field, Split
from ganzoo.data.modality import get_modality

if TYPE_CHECKING:
    import torch

    from ganzoo.data.points import Mixture

    Corruption = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
    """Images uint8 [N, C, H, W], random generator of their device -> input images uint8 [N, C', h, w]."""

CHUNK_PIXELS = 1 << 24
"""Number of values converted to float, or hashed, at a time."""


class Loaded:
    """What all loaded data have in common, over their `arrays` and `fields`."""

    name: str
    split: Split
    sha256: str
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    aligned: bool = True
    corrupt: Corruption | None = None
    """Computes the array "input" from the target, instead of an array."""
    mixture: Mixture | None = None
    channels_of: str | None = None

    @property
    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """The stored arrays by name: "target", and "label", "input" or others if there are any."""
        raise NotImplementedError

    @property
    def facts(self) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
        """The modality of each array and the facts that are not seen from its values."""
        raise NotImplementedError

    def only(self, given: Collection[str]) -> Any:
        """The same data without the arrays that are neither the target nor among `given`."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.values)

    @property
    def values(self) -> npt.NDArray[Any]:
        """The target's values."""
        return self.arrays[TARGET]

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """The description of every array. DataError if one is not what its modality expects."""
        counts = {name: len(values) for name, values in self.arrays.items() if self.aligned or name == LABEL}
        if any(count != len(self) for count in counts.values()):
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise DataError(f"{self.name}: the arrays differ in length: {listed}.")
        fields = {}
        for name, values in self.arrays.items():
            modality, facts = self.facts[name]
            try:
                fields[name] = get_modality(modality).field(values, facts)
            except DataError as failure:
                raise DataError(f"{self.name}: {'' if name == TARGET else f'{name}: '}{failure}.") from None
        if self.corrupt is not None:
            fields[INPUT] = Field(fields[TARGET].modality, tuple(self.examples(1)[0].shape[1:]))
        return fields

    @cached_property
    def spec(self) -> DataSpec:
        """The target and everything that is given with it."""
        given = {name: described for name, described in self.fields.items() if name != TARGET}
        return DataSpec(target=self.fields[TARGET], given=given, aligned=self.aligned)

    @property
    def paired(self) -> bool:
        """Whether an input comes with every example, or, unless `aligned`, from another domain."""
        return INPUT in self.arrays or self.corrupt is not None

    def spread(self, count: int) -> npt.NDArray[np.int64]:
        """At most `count` indices, evenly spaced: the first ones of a sorted data set are all of one class."""
        size = min([len(self), *(len(values) for values in self.arrays.values())])
        count = min(count, size)
        return np.arange(count, dtype=np.int64) * size // max(1, count)

    def given_with(self, which: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """What is given with the targets of the indices `which`, except labels, as stored.

        Corruptions are the same in every call.
        """
        import torch

        names = [name for name in self.arrays if name not in (TARGET, LABEL)]
        given = {name: torch.from_numpy(np.array(self.arrays[name][which])) for name in names}
        if self.corrupt is not None:
            targets = torch.from_numpy(np.array(self.values[which]))
            given[INPUT] = self.corrupt(targets, torch.Generator().manual_seed(0))
        return given

    def examples(self, which: int | npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets as stored: the first `which`, or those with the indices `which`.

        Corruptions are the same in every call. In data without inputs every target is its own input.
        """
        import torch

        indices = np.arange(min(which, len(self))) if isinstance(which, int) else which
        targets = torch.from_numpy(np.array(self.values[indices]))
        return self.given_with(indices).get(INPUT, targets), targets


@dataclass(frozen=True, eq=False)
class ArrayData(Loaded):
    """Named arrays [N, ...]: the target, and whatever is given with it.

    Args:
        target: the values to generate, as their modality stores them (see `ganzoo.data.modalities`).
        given: further arrays by name; "label" is int64, -1 where unknown, "input" what a generator starts from.
        modalities: of each array; default images for the target and whatever is not named, labels for "label".
        described: facts of an array by its name that its values do not show: `{"target": {"sample_rate": 8000}}`.
        class_names: of the labels.
        aligned: whether the i-th examples of all arrays belong together; else the arrays are separate domains, which
            may differ in length.
        sha256: by default that of all arrays.

    Raises DataError if an array is not what its modality expects, or the lengths differ.
    """

    target: npt.NDArray[Any]
    name: str
    split: Split
    given: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    modalities: Mapping[str, str] = field(default_factory=dict)
    described: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    aligned: bool = True
    notes: tuple[str, ...] = ()
    sha256: str = ""

    def __post_init__(self) -> None:
        _ = self.fields
        if not self.sha256:
            object.__setattr__(self, "sha256", sha256_of_arrays(self.arrays))

    @property
    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        return {TARGET: self.target, **self.given}

    @property
    def labels(self) -> npt.NDArray[np.int64] | None:
        return self.given.get(LABEL)

    @property
    def facts(self) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
        defaults = {LABEL: ("labels", {"classes": len(self.class_names)})}
        facts = {}
        for name in self.arrays:
            modality, known = defaults.get(name, ("images", {}))
            facts[name] = self.modalities.get(name, modality), {**known, **self.described.get(name, {})}
        return facts

    def only(self, given: Collection[str]) -> ArrayData:
        kept = {name: values for name, values in self.given.items() if name in given}
        return dataclasses.replace(self, given=kept, class_names=self.class_names if LABEL in kept else ())


def sha256_of(values: npt.NDArray[Any], labels: npt.NDArray[np.int64] | None) -> str:
    """The SHA-256, in hex, of values without further arrays, and their labels. Reads memory maps in chunks."""
    return sha256_of_arrays({TARGET: values, **({} if labels is None else {LABEL: labels})})


def sha256_of_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """The SHA-256, in hex, of all arrays by name; without others than target and label, it is `sha256_of` these.

    An input like the target in all but its channels is hashed as channels before the target's, as in version 0.1.
    """
    others = {name: values for name, values in arrays.items() if name not in (TARGET, LABEL)}
    target, beside = arrays[TARGET], others.get(INPUT)
    if beside is None or not _like(beside, target):
        beside = None
    else:
        del others[INPUT]
    digest = hashlib.sha256()
    _update(digest, target, beside)
    if LABEL in arrays:
        digest.update(np.ascontiguousarray(arrays[LABEL], dtype="<i8").data)
    for name in sorted(others):
        digest.update(f"\0{name}\0".encode())
        _update(digest, others[name])
    return digest.hexdigest()


def _like(values: npt.NDArray[Any], others: npt.NDArray[Any]) -> bool:
    """Whether these are images alike in all but their channels."""
    images = values.ndim == others.ndim == 4 and values.dtype == others.dtype
    return images and values.shape[::2] == others.shape[::2] and values.shape[3] == others.shape[3]


def _update(digest: hashlib._Hash, values: npt.NDArray[Any], beside: npt.NDArray[Any] | None = None) -> None:
    """Update the digest by the values, those `beside` before them as further channels, their type and shape."""
    shape = list(values.shape)
    if beside is not None:
        shape[1] += beside.shape[1]
    step = max(1, CHUNK_PIXELS // max(1, int(np.prod(shape[1:]))))
    for start in range(0, len(values), step):
        part = values[start : start + step]
        if beside is not None:
            part = np.concatenate([beside[start : start + step], part], axis=1)
        digest.update(np.ascontiguousarray(part).data)
    digest.update(f"{values.dtype} {shape}".encode())
