"""Two folders of images: pairs of files with the same name, or two unpaired domains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ganzoo.errors import DataError, UsageError
from ganzoo.plugin import DataLocation, Dataset, Split
from ganzoo_plugins.datasets import files, options, pictures
from ganzoo_plugins.datasets.files import Listing, SplitFiles, UserFile

if TYPE_CHECKING:
    import numpy.typing as npt

    from ganzoo.data.cache import CachedArrays
    from ganzoo.data.images import ImageData

SIDES = ("inputs", "targets")
TWO_OPTIONS = {**options.OF_IMAGES, "input_size": "HEIGHTxWIDTH"}


class _TwoFolders(Dataset):
    """Base class: `A,B` are two folders or archives, A of inputs and B of targets."""

    api_version = 2
    source = "yours"
    paired = True
    prefix: str

    def absolute(self, argument: str) -> str:
        _, path = options.split(argument)
        start = argument[: len(argument) - len(path)]
        return start + ",".join(options.absolute(part) for part in path.split(","))

    def sides(self, argument: str | None, split: Split) -> tuple[list[SplitFiles], dict[str, str]]:
        """The files of the inputs and of the targets, and the options."""
        chosen, path = options.parse(self.prefix, argument, TWO_OPTIONS)
        parts = path.split(",")
        if len(parts) > 2 or not all(map(str.strip, parts)) or (len(parts) == 1 and self.argument == "A,B"):
            raise UsageError(f"{self.prefix}:{argument}: expected two folders, {self.prefix}:A,B.")
        if len(parts) == 2:
            return [files.split_files(files.listing(part.strip()), split) for part in parts], chosen
        return _one_root(files.listing(path), split), chosen

    def decoded(
        self, sides: list[list[UserFile]], trains: list[list[UserFile]], chosen: dict[str, str],
        image_size: int | None, where: DataLocation, argument: str | None,
    ) -> list[CachedArrays]:  # fmt: skip
        """The images of both sides, each of one size, with the number of each file as its label."""
        size, form = options.image_form(self.prefix, chosen, image_size)
        sizes = [size, size]
        if "input_size" in chosen:
            sizes[0] = options.height_and_width(self.prefix, "input_size", chosen["input_size"])
        return [
            pictures.load(
                sides[i], range(len(sides[i])), trains[i], where.cache / self.prefix,
                f"{self.prefix}:{argument}, {SIDES[i]}", sizes[i], **form,
                beside=sides[1 - i] if self.prefix == "pairs" else (), train_beside=trains[1 - i],
            )
            for i in range(2)
        ]  # fmt: skip


class Pairs(_TwoFolders):
    """Pairs are files with the same name, except for the ending.

    They are in the folders A and B, or in the folders `inputs` and `targets` of PATH. Inputs may be of another size.
    """

    summary = "your own pairs, from inputs to targets: files of the same name in two folders (A,B) or in PATH"
    argument = "PATH"
    prefix = "pairs"

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        from ganzoo.data.arrays import sha256_of_arrays
        from ganzoo.data.images import ImageData
        from ganzoo_plugins.datasets.pixels import endings

        sides, chosen = self.sides(argument, split)
        matched = [_by_stem(side.files, side.folder, endings()) for side in sides]
        trained = [_by_stem(side.train, side.folder, endings()) for side in sides]
        unpaired = sorted(matched[0].keys() ^ matched[1].keys())
        if unpaired:
            raise DataError(f"{argument}: images in only one of {' and '.join(SIDES)}: {files.first_names(unpaired)}.")
        if not matched[0]:
            raise DataError(f"{argument} contains no pairs of images (files with endings such as .png, .jpg, .webp).")
        names = sorted(matched[0])
        both = sorted(trained[0].keys() & trained[1].keys())
        stored = self.decoded(
            [[side[name] for name in names] for side in matched], [[side[name] for name in both] for side in trained],
            chosen, image_size, where, argument,
        )  # fmt: skip
        inputs, targets = _common(*stored)
        sha256 = sha256_of_arrays({"target": targets, "input": inputs})
        notes = dict.fromkeys([note for side in sides for note in side.notes] + _notes(*stored))
        return ImageData(targets, None, (), f"pairs:{argument}", split, sha256, tuple(notes), inputs)


class Unpaired(_TwoFolders):
    """Two domains, such as horses and zebras: images of A become images of B."""

    summary = "two folders of images that do not belong together: A becomes B"
    argument = "A,B"
    prefix = "unpaired"

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        from ganzoo.data.arrays import sha256_of_arrays
        from ganzoo.data.images import ImageData
        from ganzoo_plugins.datasets.pixels import endings

        sides, chosen = self.sides(argument, split)
        chosen_files, notes = [], []
        for side in sides:
            images, others = files.only(side.files, endings())
            if not images:
                raise DataError(f"{side.folder} contains no images (files with endings such as .png, .jpg, .webp).")
            chosen_files.append(images)
            notes += [*side.notes, *others]
        trains = [files.only(side.train, endings())[0] for side in sides]
        inputs, targets = self.decoded(chosen_files, trains, chosen, image_size, where, argument)
        sha256 = sha256_of_arrays({"target": targets.values, "input": inputs.values})
        notes += _notes(inputs, targets)
        return ImageData(
            targets.values, None, (), f"unpaired:{argument}", split, sha256, tuple(notes), inputs.values, aligned=False
        )


def _one_root(listed: Listing, split: Split) -> list[SplitFiles]:
    """The folders inputs and targets of a folder, or of its split."""
    parts = files.split_files(listed, split)
    inside, train = (Listing(parts.folder, group) for group in (parts.files, parts.train))
    missing = [side for side in SIDES if side not in inside.folders]
    if missing:
        raise DataError(
            f"{parts.folder} has no folder {missing[0]!r} with images; pairs are files in the folders "
            f"{' and '.join(SIDES)}."
        )
    return [SplitFiles(inside.below(side), train.below(side), parts.notes, f"{parts.folder}/{side}") for side in SIDES]


def _by_stem(listed: tuple[UserFile, ...], folder: str, endings: set[str]) -> dict[str, UserFile]:
    """The image files by their name without the ending. DataError if two differ in nothing else."""
    images, _ = files.only(listed, endings)
    named = {file.stem: file for file in images}
    duplicates = [file.name for file in images if named[file.stem] is not file]
    if duplicates:
        raise DataError(f"{folder} has images that differ only in the ending: {files.first_names(duplicates)}.")
    return named


def _common(inputs: CachedArrays, targets: CachedArrays) -> list[npt.NDArray[Any]]:
    """The images of the pairs whose files could both be read. DataError if there are none."""
    import numpy as np

    assert inputs.labels is not None
    assert targets.labels is not None
    kept = np.intersect1d(inputs.labels, targets.labels)
    if not len(kept):
        raise DataError("None of the pairs can be read on both sides.")
    return [
        side.values if len(kept) == len(side.values) else side.values[np.isin(np.asarray(side.labels), kept)]
        for side in (inputs, targets)
    ]


def _notes(inputs: CachedArrays, targets: CachedArrays) -> list[str]:
    return [f"{side}: {re.sub('^images ', '', note)}" for side, s in zip(SIDES, (inputs, targets)) for note in s.notes]
