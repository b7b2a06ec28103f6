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

INSTANT = 0.5
SIZE = 16


@dataclass(frozen=True, eq=False)
class DataSubject:
    """The data set of `card`, loaded as users would with `argument`."""

    card: Dataset
    argument: str | None = None

    @functools.cached_property
    def where(self) -> DataLocation:
        return DataLocation.find()

    def load(self, split: Split = "train", image_size: int | None = None) -> Data:
        return require_known_kind(
            type(self.card).__name__, self.card.load(self.where, split, image_size, self.argument)
        )

    @functools.cached_property
    def train(self) -> Data:
        """The training images, or points, as they are."""
        return self.load()


@rule("look at file names only, and return True or False.")
def on_disk(subject: DataSubject) -> None:
    """on_disk answers True or False at once."""
    start = time.perf_counter()
    answer = subject.card.on_disk(subject.where)
    seconds = time.perf_counter() - start
    if not isinstance(answer, bool):
        raise CheckError(f"on_disk returns {answer!r}")
    if seconds > INSTANT:
        raise CheckError(f"on_disk takes {seconds:.1f} s")


@rule("return an ImageData or a PointData as the card's kind says; raise DataError with a reason where you cannot.")
def values(subject: DataSubject) -> None:
    """Values are of the card's kind, use their range and differ."""
    data = subject.train
    if not isinstance(data, (ImageData, PointData)) or data.spec.kind != subject.card.kind:
        raise CheckError(f"load returns {type(data).__name__} where the card says kind={subject.card.kind!r}")
    some = np.asarray(data.values[:1000])
    if isinstance(data, ImageData) and some.max() <= 1:
        raise CheckError(
            f"no value is above {some.max()}", "scale values from 0..1 to 0..255 before the cast to uint8."
        )
    if len(some) > 1 and (some == some[:1]).all():
        raise CheckError(f"the first {len(some)} examples are equal")


@rule("number classes from 0 and name each of them once in class_names; without labels, give None and ().")
def labels(subject: DataSubject) -> None:
    """Every class has a name of its own and at least one image."""
    data = subject.train
    names = data.class_names
    if data.labels is None:
        if names:
            raise CheckError(f"there are no labels, but {len(names)} class names")
        return
    if len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
        raise CheckError(f"class_names are {names}")
    empty = [names[i] for i in range(len(names)) if not (data.labels == i).any()]
    if empty:
        raise CheckError(f"no image is of the class {', '.join(empty)}")


@rule("set paired on the card where images come with inputs or corrupt, uint8 [N, C', size, size], and only there.")
def pairs(subject: DataSubject) -> None:
    """Images come with input images exactly where the card says so."""
    data = subject.train
    if isinstance(data, PointData):
        return
    if data.paired != subject.card.paired:
        raise CheckError(f"the card says paired={subject.card.paired}, the images say {data.paired}")
    if not data.paired:
        return
    (inputs, images), (again, _) = data.examples(8), data.examples(8)
    if inputs.dtype != images.dtype or inputs.shape[::2] != images.shape[::2] or inputs.shape[3] != images.shape[3]:
        raise CheckError(f"inputs are {inputs.dtype} {list(inputs.shape)} where images are {list(images.shape)}")
    if not inputs.equal(again):
        raise CheckError("made twice, inputs differ", "draw random numbers from the generator that corrupt is given.")
    if inputs.equal(images):
        raise CheckError("inputs equal the images", "let the inputs lack what the generator is to add.")


@rule("load in one fixed order, without drawing random numbers.")
def repeatable(subject: DataSubject) -> None:
    """Loaded twice it is the same in the same order: resume needs it."""
    data, again = subject.train, subject.load()
    if not np.array_equal(data.values, again.values):
        raise CheckError("loaded twice, values differ")
    if data.labels is not None and (again.labels is None or not np.array_equal(data.labels, again.labels)):
        raise CheckError("loaded twice, labels differ")


@rule("give sha256_of(images, labels) from ganzoo.data.images, computed after resizing.")
def identity(subject: DataSubject) -> None:
    """sha256 is that of the images and labels."""
    data = subject.train
    expected = sha256_of(data.values, data.labels)
    if data.sha256 != expected:
        raise CheckError(f"sha256 is {data.sha256!r}, expected {expected}")


@rule("resize with ganzoo.data.images.resize where image_size is given.")
def image_size(subject: DataSubject) -> None:
    """Images come in the size that is asked for."""
    if subject.card.kind != "images":
        return
    data, small = subject.train.spec, subject.load(image_size=SIZE).spec
    if small != dataclasses.replace(data, size=SIZE):
        raise CheckError(f"asked for {SIZE} pixels, it gives {small} where the data are {data}")


@rule("load the images of the split that is asked for, and raise DataError where there is none.")
def splits(subject: DataSubject) -> None:
    """Test images are others than those for training, of the same kind."""
    train = subject.train
    try:
        test = subject.load("test")
    except GanzooError:
        return
    for data, split in ((train, "train"), (test, "test")):
        if data.split != split:
            raise CheckError(f"asked for {split}, it says it is {data.split}")
    if test.spec.shape != train.spec.shape or test.class_names != train.class_names:
        raise CheckError(f"the test images are {test.spec}, those for training {train.spec}")
    if test.sha256 == train.sha256:
        raise CheckError("the test images are those for training")


@rule("raise UsageError or DataError that repeats the argument.")
def wrong_argument(subject: DataSubject) -> None:
    """An argument that leads nowhere is refused by name."""
    if subject.card.argument is None:
        return
    nowhere = "/no/such/place"
    try:
        subject.card.load(subject.where, "train", None, nowhere)
    except GanzooError as refusal:
        if nowhere not in str(refusal):
            raise CheckError(f"the refusal of {nowhere} does not name it: {refusal}") from refusal
    else:
        raise CheckError(f"{nowhere} is accepted")
