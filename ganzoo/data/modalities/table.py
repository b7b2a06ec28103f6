"""Tables of numeric and categorical columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo.core.errors import DataError, GanzooError
from ganzoo.core.files import atomic
from ganzoo.core.spec import Field
from ganzoo.data.modality import Array, Modality, expect


@dataclass(frozen=True)
class Column:
    """A column of the fact `columns`, and the networks' numbers that hold it.

    A numeric column is one number, its range [low, high] scaled to [-1, 1]; a categorical one has a number for each
    category, 1 for the row's own and 0 for the others.
    """

    name: str
    span: slice
    categories: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    """Whether all its numbers are whole."""


class Table(Modality):
    """float64 [N, columns], categories by number; networks see [N, numbers], see `Column`.

    The fact `columns` is a list of {"name", "low", "high", "whole"} or {"name", "categories"}.
    """

    noun = "rows"
    in_grid = False
    suffix = ".csv"
    one_per_file = False

    def example(self) -> Field:
        return Field(
            self.name,
            (4,),
            {
                "columns": [
                    {"name": "size", "low": 0.0, "high": 10.0, "whole": True},
                    {"name": "colour", "categories": ["red", "green", "blue"]},
                ]
            },
        )

    def field(self, values: Array, facts: Mapping[str, Any]) -> Field:
        fits = values.dtype == np.float64 and values.ndim == 2 and 0 not in values.shape
        expect(fits, "float64 rows [N, columns]", values)
        try:
            field = Field(self.name, (_width(facts["columns"]),), facts)
            columns = columns_of(field)
        except (LookupError, TypeError, ValueError) as failure:
            raise DataError(f"the fact columns does not describe columns ({failure!r})") from None
        expect(len(columns) == values.shape[1], f"{len(columns)} columns", values)
        if not np.isfinite(values).all():
            raise DataError("all numbers of a table must be finite")
        for number, column in enumerate(columns):
            if column.categories and not set(np.unique(values[:, number])) <= set(range(len(column.categories))):
                raise DataError(f"column {column.name} has values that are no category")
        return field

    def encode(self, values: Tensor, field: Field) -> Tensor:
        parts = []
        for number, column in enumerate(columns_of(field)):
            value = values[:, number]
            if column.categories:
                categories = torch.arange(len(column.categories), device=value.device)
                parts.append((value[:, None] == categories).float())  # one_hot would wait for the device
            else:
                width = (column.high - column.low) or 1.0
                parts.append((2 * (value - column.low) / width - 1).float()[:, None])
        return torch.cat(parts, dim=1)

    def decode(self, outputs: Tensor, field: Field) -> Tensor:
        """Rows: the category of the largest number; numbers within the column's range, rounded if it is whole."""
        outputs = outputs.double().cpu()
        parts = []
        for column in columns_of(field):
            value = outputs[:, column.span]
            if column.categories:
                parts.append(value.argmax(1).double())
                continue
            number = column.low + (value[:, 0].clamp(-1, 1) + 1) / 2 * (column.high - column.low)
            parts.append(number.round() if column.whole else number)
        return torch.stack(parts, dim=1)

    def picture(
        self, values: Tensor, field: Field, columns: int, real: Tensor | None = None, side: int = 480
    ) -> Tensor:
        """Histograms of the columns, side by side: red over the grey of the `real` rows."""
        from ganzoo.data.imaging import histogram

        described = columns_of(field)
        plots = []
        for number, column in enumerate(described):
            bins = len(column.categories) or 24
            low, high = (-0.5, bins - 0.5) if column.categories else (column.low, column.high)
            of_real = None if real is None else real[:, number]
            plots.append(histogram(values[:, number], of_real, bins, low, high, max(24, side // 4)))
        missing = -len(plots) % min(4, len(plots))
        plots += [torch.full_like(plots[0], 255)] * missing
        rows = [torch.cat(plots[i : i + 4], dim=2) for i in range(0, len(plots), 4)]
        return torch.cat(rows, dim=1)

    def write(self, values: Tensor, field: Field, path: Path, text: Mapping[str, object]) -> None:
        """A CSV file with a header."""
        described = columns_of(field)
        try:
            with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow([column.name for column in described])
                writer.writerows([_cell(value, c) for value, c in zip(row, described)] for row in values.tolist())
        except OSError as failure:
            raise GanzooError(f"Cannot write {path}: {failure.strerror or failure}") from failure

    def made_up(self, field: Field, count: int, rng: np.random.Generator) -> Array:
        rows = np.empty((count, len(columns_of(field))))
        for number, column in enumerate(columns_of(field)):
            if column.categories:
                rows[:, number] = rng.integers(len(column.categories), size=count)
            else:
                drawn = rng.uniform(column.low, column.high, count)
                rows[:, number] = drawn.round() if column.whole else drawn
        return rows


def columns_of(field: Field) -> list[Column]:
    """The columns of a table, in order."""
    columns, start = [], 0
    for stored in field.facts["columns"]:
        categories = tuple(map(str, stored.get("categories", ())))
        span = slice(start, start + max(1, len(categories)))
        low, high = (0.0, 0.0) if categories else (float(stored["low"]), float(stored["high"]))
        columns.append(Column(str(stored["name"]), span, categories, low, high, bool(stored.get("whole", False))))
        start = span.stop
    return columns


def _width(columns: list[Mapping[str, Any]]) -> int:
    return sum(max(1, len(column.get("categories", ()))) for column in columns)


def _cell(value: float, column: Column) -> str | int | float:
    if column.categories:
        return column.categories[int(value)]
    if column.whole:
        return int(value)
    width = column.high - column.low
    more = int(math.log10(max(abs(column.low), abs(column.high)) / width)) if 0 < width < math.inf else 0
    return float(f"{value:.{6 + max(0, more)}g}")  # six digits of the column's range
