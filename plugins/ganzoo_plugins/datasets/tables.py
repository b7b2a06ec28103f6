"""A CSV file: `table:FILE.csv`."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ganzoo.errors import DataError, UsageError, did_you_mean
from ganzoo.plugin import DataKind, DataLocation, Dataset, Split
from ganzoo_plugins.datasets import files, options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ganzoo.data import ArrayData

OPTIONS = {"label": "COLUMN"}
TEST_SHARE = 5
"""Every fifth row, in a fixed random order, is of the test split."""
MAX_CATEGORIES = 200
MAX_BYTES = 1 << 31
MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "inf", "+inf", "-inf")


class Table(Dataset):
    """A CSV file with a header. Columns of numbers are numeric, all others categorical; rows with gaps are left out.

    `table:label=COLUMN:FILE.csv` takes a categorical column as the label.
    """

    api_version = 2
    summary = "a CSV file of numeric and categorical columns; a fifth of the rows is the test split"
    source = "yours"
    kind: ClassVar[DataKind] = "table"
    argument = "PATH"

    def absolute(self, argument: str) -> str:
        return options.absolute(argument)

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ArrayData:
        import numpy as np

        from ganzoo.data import ArrayData

        chosen, path = options.parse("table", argument, OPTIONS)
        header, rows, notes = read(Path(path))
        values, columns = parse(path, header, rows, notes)
        order = np.random.default_rng(0).permutation(len(values))
        tested = np.zeros(len(values), bool)
        tested[order[: len(values) // TEST_SHARE]] = True
        _scale_by(columns, values[~tested])
        kept = tested if split == "test" else ~tested
        values, given, names = values[kept], {}, ()
        if "label" in chosen:
            number = _column(path, header, chosen["label"])
            if "categories" not in columns[number]:
                raise UsageError(f"table: label={chosen['label']}: this column is numeric; a label has categories.")
            given, names = {"label": values[:, number].astype(np.int64)}, tuple(columns[number]["categories"])
            values, columns = np.delete(values, number, axis=1), columns[:number] + columns[number + 1 :]
        if not columns:
            raise DataError(f"{path} has no column beside the label.")
        return ArrayData(
            values, f"table:{argument}", split, given, {"target": "table"}, {"target": {"columns": columns}}, names,
            notes=tuple(notes),
        )  # fmt: skip


def read(path: Path) -> tuple[list[str], list[list[str]], list[str]]:
    """The header, the complete rows of a CSV file, and notes on others. DataError if it is none."""
    if not path.exists():
        raise files.missing("file", path)
    if not path.is_file():
        raise DataError(f"{path} is not a file; expected a CSV file with a header.")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than 2 GiB.")
        with path.open(newline="", encoding="utf-8-sig") as file:
            start = file.read(1 << 16)
            file.seek(0)
            try:
                dialect: Any = csv.Sniffer().sniff(start, delimiters=",;\t|")
            except csv.Error:
                dialect = "excel"
            reader = csv.reader(file, dialect)
            header = [name.strip() for name in next(reader, [])]
            rows = [[cell.strip() for cell in row] for row in reader if row]
    except UnicodeDecodeError as failure:
        raise DataError(
            f"{path} cannot be read as CSV: byte {failure.start:,} is not UTF-8. Save it with the encoding UTF-8."
        ) from None
    except (OSError, csv.Error) as failure:
        raise DataError(f"{path} cannot be read as CSV: {failure}.") from None
    if not header:
        raise DataError(f"{path} is empty; expected a CSV file whose first line names the columns.")
    if len(set(header)) < len(header) or not all(header):
        raise DataError(f"{path}: the first line must name every column once, but is: {files.first_names(header)}.")
    whole = [row for row in rows if len(row) == len(header) and not any(cell.lower() in MISSING for cell in row)]
    if len(whole) < 2 * TEST_SHARE:
        raise DataError(f"{path}: expected at least {2 * TEST_SHARE} complete rows, but there are {len(whole)}.")
    left_out = len(rows) - len(whole)
    notes = [f"{left_out} of {len(rows)} rows have gaps and are left out"] if left_out else []
    if all(_number(name) is not None for name in header):
        notes.append(f"the first line is taken as the names of the columns: {files.first_names(header)}")
    return header, whole, notes


def parse(
    path: str, header: list[str], rows: list[list[str]], notes: list[str]
) -> tuple[npt.NDArray[np.float64], list[dict[str, Any]]]:
    """The values [N, columns], categories by number, and the description of each column.

    Adds to `notes` which columns are categorical because of a few texts among their numbers, or of decimal commas.
    """
    import numpy as np

    columns: list[dict[str, Any]] = []
    values = np.empty((len(rows), len(header)))
    for number, name in enumerate(header):
        cells = [row[number] for row in rows]
        numbers = [_number(cell) for cell in cells]
        if None not in numbers:
            values[:, number] = numbers
            columns.append({"name": name, "whole": bool((values[:, number] % 1 == 0).all())})
            continue
        categories = sorted(set(cells))
        texts = [cell for cell, value in zip(cells, numbers) if value is None]
        commas = all(_number(text.replace(",", ".")) is not None for text in texts)
        if len(categories) > MAX_CATEGORIES:
            advice = "Write its numbers with points." if commas else "Remove it, or replace it by numbers."
            raise DataError(
                f"{path}: column {name} has {len(categories):,} different texts, more than {MAX_CATEGORIES}, such as "
                f"{texts[0][:40]!r}. {advice}"
            )
        if commas:
            notes.append(f"column {name} is categorical, because its numbers have commas instead of points: {texts[0]}")
        elif len(texts) < len(cells) / 2:
            notes.append(
                f"column {name} is categorical, because {len(texts)} of its {len(cells)} cells are no numbers: "
                f"{files.first_names(sorted(set(texts)))}"
            )
        places = {category: place for place, category in enumerate(categories)}
        values[:, number] = [places[cell] for cell in cells]
        columns.append({"name": name, "categories": categories})
    return values, columns


def _number(cell: str) -> float | None:
    if "_" in cell:  # Python reads 1_000 as a number
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _scale_by(columns: list[dict[str, Any]], train: npt.NDArray[np.float64]) -> None:
    """Add the range of each numeric column in the training rows."""
    for number, column in enumerate(columns):
        if "categories" not in column:
            column |= {"low": float(train[:, number].min()), "high": float(train[:, number].max())}


def _column(path: str, header: list[str], name: str) -> int:
    if name not in header:
        raise UsageError(f"{path} has no column {name!r}. {did_you_mean(name, header)}")
    return header.index(name)
