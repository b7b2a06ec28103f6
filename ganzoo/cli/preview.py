"""`ganzoo datasets NAME --preview`: a data set before an hour of training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import torch

from ganzoo import data
from ganzoo.core.errors import SplitError, UsageError
from ganzoo.core.spec import LABEL, TARGET, UNKNOWN_LABEL
from ganzoo.data import imaging
from ganzoo.data.modality import get_modality

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.core.spec import Field
    from ganzoo.data import Data

COLUMNS, SHOWN, PLOTTED = 10, 80, 2500
MAX_CLASSES = 30


def show_data(name: str, image_size: int | None, out: str | None, data_dir: str | None, as_json: bool) -> None:
    """Print counts, sizes and classes of the data set `name`, and write a grid of evenly spaced examples to `out`."""
    target = None if out is None else Path(out)
    if target is not None and (target.suffix.lower() != ".png" or not target.parent.is_dir()):
        raise UsageError(f"--out {out}: expected FILE.png in a directory that exists.")
    train = data.open(name, image_size=image_size, data_dir=data_dir)
    try:
        test: Data | None = data.open(name, split="test", image_size=image_size, data_dir=data_dir)
    except SplitError:
        test = None
    facts = describe(train, test)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _print(name, facts)
        for note in train.notes:
            click.echo(f"Note: {note}")
    kinds = examples(train)
    if target is not None:
        picture, count = _picture(kinds)
        imaging.save(picture, target, {"dataset": name})
        what = "grid" if get_modality(kinds[0][1].modality).in_grid else "plot"
        click.echo(f"A {what} of {count} written to {target}", err=as_json)
    if not as_json:
        from ganzoo.cli.console import Console
        from ganzoo.cli.terminal import draw

        console = Console(highlight=False)
        if console.is_terminal:
            draw(kinds, console)


def describe(train: Data, test: Data | None) -> dict[str, Any]:
    """The facts of a data set, as JSON values."""
    spec, labels = train.spec, train.labels
    counts = {} if labels is None else {name: int((labels == i).sum()) for i, name in enumerate(train.class_names)}
    facts: dict[str, Any] = {
        "name": train.name,
        "fields": {name: str(field) for name, field in {TARGET: spec.target, **spec.given}.items()},
        "aligned": spec.aligned,
        "splits": {"train": len(train), "test": None if test is None else len(test)},
        "classes": counts,
        "sha256": train.sha256,
    }
    if "columns" in spec.target.facts:
        facts["columns"] = spec.target.facts["columns"]
    if labels is not None and (labels == UNKNOWN_LABEL).any():
        facts["unknown_labels"] = int((labels == UNKNOWN_LABEL).sum())
    return facts


def examples(train: Data) -> list[tuple[Tensor, Field]]:
    """Evenly spaced examples of what is given, and of the targets."""
    plotted = not get_modality(train.spec.kind).in_grid
    given = train.spec.given.keys() - {LABEL}
    chosen = train.spread(PLOTTED if plotted else 3 * COLUMNS if given else SHOWN)
    kinds = [(values, train.spec.given[name]) for name, values in train.given_with(chosen).items()]
    targets = torch.from_numpy(np.array(train.values[chosen]))
    return [(targets, train.spec.target)] if plotted else [*kinds, (targets, train.spec.target)]


def _picture(kinds: list[tuple[Tensor, Field]]) -> tuple[Tensor, int]:
    values, field = kinds[0]
    modality = get_modality(field.modality)
    if len(kinds) == 1:
        return modality.picture(values, field, COLUMNS), len(values)
    images = [get_modality(field.modality).images(values, field) for values, field in kinds]
    rows = imaging.interleave([part for part in images if part is not None], COLUMNS)
    return imaging.grid(rows, COLUMNS), len(values)


def _print(name: str, facts: dict[str, Any]) -> None:
    from ganzoo.cli.console import Console, table

    splits = facts["splits"]
    rows = [(field, text) for field, text in facts["fields"].items()]
    rows.append(("training", f"{splits['train']:,}"))
    rows.append(("test", "none" if splits["test"] is None else f"{splits['test']:,}"))
    if not facts["aligned"]:
        rows.append(("aligned", "no: inputs and targets do not belong together"))
    classes = [f"{label} ({count:,})" for label, count in facts["classes"].items()]
    if classes:
        more = f" and {len(classes) - MAX_CLASSES} more" if len(classes) > MAX_CLASSES else ""
        rows.append(("classes", ", ".join(classes[:MAX_CLASSES]) + more))
    if "columns" in facts:
        rows.append(("columns", ", ".join(map(_column, facts["columns"]))))
    if "unknown_labels" in facts:
        rows.append(("unlabelled", f"{facts['unknown_labels']:,}"))
    Console(highlight=False).print(table((name, ""), rows))


def _column(column: Mapping[str, Any]) -> str:
    """A column of a table with its range, or the number of its categories."""
    if "categories" in column:
        return f"{column['name']} ({len(column['categories']):,} categories)"
    return f"{column['name']} ({column['low']:g} to {column['high']:g})"
