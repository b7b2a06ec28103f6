"""Checks of a data set."""

from __future__ import annotations

import dataclasses
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganzoo.core.errors import GanzooError
from ganzoo.core.plugin import Dataset
from ganzoo.core.spec import DataLocation, Split
from ganzoo.data import require_known_kind
from ganzoo.data.images import ImageData, sha256_of
from ganzoo.data.points import PointData
from ganzoo.testing.kit import CheckError, rule

if TYPE_CHECKING:
    from ganzoo.data import Data

MAX_SECONDS = 0.5
"""Limit for `on_disk`."""
SIZE = 16


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


@rule("return ImageData or PointData according to the card's kind; raise DataError with a reason if you cannot.")
def values(fixture: DatasetFixture) -> None:
    """Values are of the card's kind, use their full range and differ."""
    data = fixture.train
    if not isinstance(data, (ImageData, PointData)) or data.spec.kind != fixture.card.kind:
        raise CheckError(f"load returns {type(data).__name__}, but the card says kind={fixture.card.kind!r}")
    sample = np.asarray(data.values[:1000])
    if isinstance(data, ImageData) and sample.max() <= 1:
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


@rule("set paired on the card if, and only if, images come with inputs, uint8 [N, C', size, size], or corrupt.")
def pairs(fixture: DatasetFixture) -> None:
    """Images come with input images if and only if the card says so."""
    data = fixture.train
    if isinstance(data, PointData):
        return
    if data.paired != fixture.card.paired:
        raise CheckError(f"the card says paired={fixture.card.paired}, but the images have paired={data.paired}")
    if not data.paired:
        return
    (inputs, images), (repeated, _) = data.examples(8), data.examples(8)
    if inputs.dtype != images.dtype or inputs.shape[::2] != images.shape[::2] or inputs.shape[3] != images.shape[3]:
        raise CheckError(f"inputs are {inputs.dtype} {list(inputs.shape)}, but images are {list(images.shape)}")
    if not inputs.equal(repeated):
        raise CheckError(
            "inputs differ when computed twice", "draw random numbers from the generator passed to corrupt."
        )
    if inputs.equal(images):
        raise CheckError("inputs equal the images", "remove from the inputs what the generator is to restore.")


@rule("load in one fixed order, without drawing random numbers.")
def repeatable(fixture: DatasetFixture) -> None:
    """Loading twice gives the same examples in the same order, which resume needs."""
    first, second = fixture.train, fixture.load()
    if not np.array_equal(first.values, second.values):
        raise CheckError("values differ when loaded twice")
    if first.labels is not None and (second.labels is None or not np.array_equal(first.labels, second.labels)):
        raise CheckError("labels differ when loaded twice")


@rule("set sha256 to sha256_of(images, labels) from ganzoo.data.images, computed after resizing.")
def identity(fixture: DatasetFixture) -> None:
    """sha256 is the hash of the images and labels."""
    data = fixture.train
    expected = sha256_of(data.values, data.labels)
    if data.sha256 != expected:
        raise CheckError(f"sha256 is {data.sha256!r}, expected {expected}")


@rule("resize with ganzoo.data.images.resize if image_size is not None.")
def image_size(fixture: DatasetFixture) -> None:
    """Images have the requested size."""
    if fixture.card.kind != "images":
        return
    data, small = fixture.train.spec, fixture.load(image_size=SIZE).spec
    if small != dataclasses.replace(data, size=SIZE):
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
