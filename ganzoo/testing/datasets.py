"""Checks of a data set."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.core.errors import GanzooError
from ganzoo.core.plugin import Dataset
from ganzoo.core.spec import TARGET, DataLocation, Field, Split
from ganzoo.data import require_known_kind
from ganzoo.data.arrays import sha256_of_arrays
from ganzoo.testing.kit import CheckError, rule

if TYPE_CHECKING:
    from ganzoo.data import Data

MAX_SECONDS = 0.5
"""Limit for `on_disk`."""
SIZE = 16
MAX_CHANNELS = 4
"""Images of no greater width whose channels are more have their channels last."""


@dataclass(frozen=True, eq=False)
class DatasetFixture:
    """The data set of `card`, loaded with `argument`."""

    card: Dataset
    argument: str | None = None

    @functools.cached_property
    def location(self) -> DataLocation:
        return DataLocation.find()

    def load(self, split: Split = "train", image_size: int | None = None) -> Data:
        return require_known_kind(
            type(self.card).__name__, self.card.load(self.location, split, image_size, self.argument)
        )

    @functools.cached_property
    def train(self) -> Data:
        """The training split at its own size."""
        return self.load()


@rule("look at file names only, and return True or False.")
def on_disk(fixture: DatasetFixture) -> None:
    """on_disk returns True or False immediately."""
    start = time.perf_counter()
    answer = fixture.card.on_disk(fixture.location)
    seconds = time.perf_counter() - start
    if not isinstance(answer, bool):
        raise CheckError(f"on_disk returns {answer!r}")
    if seconds > MAX_SECONDS:
        raise CheckError(f"on_disk takes {seconds:.1f} s")


@rule("return ImageData, PointData or ArrayData of the card's kind; raise DataError with a reason if you cannot.")
def values(fixture: DatasetFixture) -> None:
    """Values are of the card's kind, use their full range and differ."""
    data = fixture.train
    if data.spec.kind != fixture.card.kind:
        raise CheckError(f"load returns {type(data).__name__}, but the card says kind={fixture.card.kind!r}")
    if data.spec.kind == "images" and data.spec.shape[2] <= MAX_CHANNELS < data.spec.shape[0]:
        channels, height, width = data.spec.shape
        raise CheckError(
            f"images have {channels} channels of {height}x{width} pixels",
            "put channels before height and width, values.transpose(0, 3, 1, 2).",
        )
    sample = np.asarray(data.values[:1000])
    if data.spec.kind == "images" and sample.max() <= 1:
        raise CheckError(
            f"no value is above {sample.max()}", "scale values from 0..1 to 0..255 before casting to uint8."
        )
    if len(sample) > 1 and (sample == sample[:1]).all():
        raise CheckError(f"the first {len(sample)} examples are identical")


@rule("number classes from 0 and give each a unique name in class_names; without labels, pass None and ().")
def labels(fixture: DatasetFixture) -> None:
    """Every class has a unique name and at least one example."""
    data = fixture.train
    names = data.class_names
    if data.labels is None:
        if names:
            raise CheckError(f"there are no labels, but {len(names)} class names")
        return
    if len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
        raise CheckError(f"class_names are {names}")
    empty = [names[i] for i in range(len(names)) if not (data.labels == i).any()]
    if empty:
        raise CheckError(f"no examples of the class {', '.join(empty)}")


@rule("set paired on the card if, and only if, examples come with an input: an array, or one computed by corrupt.")
def pairs(fixture: DatasetFixture) -> None:
    """Examples come with inputs if and only if the card says so."""
    data = fixture.train
    if data.paired != fixture.card.paired:
        raise CheckError(f"the card says paired={fixture.card.paired}, but the images have paired={data.paired}")
    if not data.paired:
        return
    chosen = data.spread(8)
    (inputs, targets), (repeated, _) = data.examples(chosen), data.examples(chosen)
    if not inputs.equal(repeated):
        raise CheckError(
            "inputs differ when computed twice", "draw random numbers from the generator passed to corrupt."
        )
    if inputs.equal(targets):
        raise CheckError("inputs equal the images", "remove from the inputs what the generator is to restore.")


@rule("load in one fixed order, without drawing random numbers.")
def repeatable(fixture: DatasetFixture) -> None:
    """Loading twice gives the same examples in the same order, which resume needs."""
    first, second = fixture.train, fixture.load()
    for name, values in first.arrays.items():
        if name not in second.arrays or not np.array_equal(values, second.arrays[name]):
            raise CheckError(f"{'values differ' if name == TARGET else f'{name} differs'} when loaded twice")


@rule("set sha256 to sha256_of_arrays(...) of all arrays from ganzoo.data.arrays, computed after resizing.")
def identity(fixture: DatasetFixture) -> None:
    """sha256 is the hash of all arrays."""
    data = fixture.train
    expected = sha256_of_arrays(data.arrays)
    if data.sha256 != expected:
        raise CheckError(f"sha256 is {data.sha256!r}, expected {expected}")


@rule("resize with ganzoo.data.images.resize if image_size is not None.")
def image_size(fixture: DatasetFixture) -> None:
    """Images have the requested size."""
    if fixture.card.kind != "images":
        return
    data, small = fixture.train.spec, fixture.load(image_size=SIZE).spec
    expected = Field("images", (data.channels, SIZE, SIZE), data.target.facts)
    if small.target != expected or small.given.keys() != data.given.keys():
        raise CheckError(f"with image_size={SIZE} the spec is {small}; without, it is {data}")


@rule("load the requested split, and raise DataError if there is none.")
def splits(fixture: DatasetFixture) -> None:
    """Test and training examples differ, but have the same shape and classes."""
    train = fixture.train
    try:
        test = fixture.load("test")
    except GanzooError:
        return
    for data, split in ((train, "train"), (test, "test")):
        if data.split != split:
            raise CheckError(f"the data loaded for split={split!r} have split={data.split!r}")
    if test.spec.shape != train.spec.shape or test.class_names != train.class_names:
        raise CheckError(f"the test data are {test.spec}, but the training data are {train.spec}")
    if test.sha256 == train.sha256:
        raise CheckError("the test data equal the training data")


@rule("raise UsageError or DataError with the argument in the message.")
def wrong_argument(fixture: DatasetFixture) -> None:
    """An argument for which there are no data is refused, and the message contains it."""
    if fixture.card.argument is None:
        return
    missing = "/no/such/place"
    try:
        fixture.card.load(fixture.location, "train", None, missing)
    except GanzooError as refusal:
        if missing not in str(refusal):
            raise CheckError(f"the error for {missing} does not contain it: {refusal}") from refusal
    else:
        raise CheckError(f"{missing} is accepted")
