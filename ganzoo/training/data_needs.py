"""What an architecture needs of its data, and what it is given of them."""

from __future__ import annotations

import os

from ganzoo import data
from ganzoo.core import registry
from ganzoo.core.errors import DataError, UsageError
from ganzoo.core.paths import URL
from ganzoo.core.plugin import Dataset
from ganzoo.core.spec import INPUT, LABEL, UNKNOWN_LABEL, DataKind, examples_of

FEW = 8
"""Architectures that a message names one by one."""


def kind_of(dataset: str, entry: registry.Entry) -> DataKind:
    """The kind of the data. UsageError, with a choice of other architectures, if this one is for other kinds.

    DataError if the kind is wrong and the path does not exist: it cannot be said to have anything.
    """
    card, argument = registry.get_dataset(dataset)
    kind: DataKind = card.kind
    examples = examples_of(kind)
    if kind not in entry.card.kinds:
        _require_path(card, argument)
        able = [e.name for e in registry.architectures() if e.error is None and kind in e.card.kinds]
        choice = " or ".join(able) if len(able) <= FEW else f"one of the {len(able)} for {examples} (ganzoo list)"
        raise UsageError(
            f"{entry.name} is for {' and '.join(map(examples_of, entry.card.kinds))}, but {dataset} has {examples}. "
            f"Choose {choice}."
        )
    return kind


def _require_path(card: Dataset, argument: str | None) -> None:
    """DataError if the argument of a data set is a path, perhaps after options, and nothing is there."""
    if card.argument != "PATH" or argument is None or URL.search(argument):
        return
    path = os.sep + card.absolute(argument).partition(os.sep)[2]
    if not os.path.exists(path):
        raise DataError(f"{path} does not exist.")


def used(loaded: data.Data, entry: registry.Entry) -> data.Data:
    """The data with only those arrays that the architecture's card asks for. UsageError if it cannot use them."""
    card, missing = entry.card, [name for name in entry.card.given if name not in loaded.spec.given]
    if LABEL in missing:
        raise UsageError(
            f"{entry.name} is conditional and needs labels, but {loaded.name} has none. Choose a labelled data set "
            "(for a folder: one sub-folder per class), or an unconditional architecture."
        )
    if INPUT in missing:
        known = [f"{e.name}:{e.card.argument}" if e.card.argument else e.name for e in registry.paired_datasets()]
        raise UsageError(
            f"{entry.name} starts from inputs and needs pairs, but {loaded.name} has none. "
            f"Choose a data set of pairs: {', '.join(known)}."
        )
    if missing:
        has = ", ".join(loaded.spec.given) or "nothing else"
        raise UsageError(f"{entry.name} needs {' and '.join(missing)}; {loaded.name} has {has} beside its target.")
    used: data.Data = loaded.only(card.given)
    if not used.spec.aligned and not card.unpaired:
        raise UsageError(
            f"{entry.name} needs pairs, but the inputs and targets of {loaded.name} do not belong together. Choose a "
            "data set of pairs, or an architecture for unpaired domains."
        )
    label = used.spec.given.get(LABEL)
    if label is not None and label.facts.get("unknown") and not card.unknown_labels:
        assert used.labels is not None
        unknown = int((used.labels == UNKNOWN_LABEL).sum())
        raise UsageError(
            f"{entry.name} needs the label of every example, but {unknown:,} of {len(used):,} in {loaded.name} have "
            "none (-1)."
        )
    return used
