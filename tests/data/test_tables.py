"""CSV files: the data set `table:FILE.csv` and the modality."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_plugins.datasets.tables import Table

import ganzoo
from ganzoo.core.errors import DataError, UsageError
from ganzoo.core.spec import DataLocation
from ganzoo.data import ArrayData
from ganzoo.data.modality import get_modality
from tests.conftest import Command

HEADER = ["age", "height", "colour", "sick"]


def person(number: int) -> list[object]:
    return [20 + number % 50, 1.5 + number / 100, ("red", "green", "blue")[number % 3], ("no", "yes")[number % 2]]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *map(person, range(40))])
    return path


def load(where: DataLocation, path: Path, split: str = "train", options: str = "") -> ArrayData:
    return Table().load(where, split, None, f"{options}{path}")  # type: ignore[arg-type]


def test_columns_are_numeric_or_categorical_and_rows_are_split(where: DataLocation, people: Path) -> None:
    train, test = load(where, people), load(where, people, "test")
    assert (len(train), len(test)) == (32, 8)
    assert train.spec.shape == (1 + 1 + 3 + 2,)
    rows = {tuple(row) for data in (train, test) for row in data.values.round(3)}
    assert len(rows) == 40
    age, height, colour, sick = train.spec.target.facts["columns"]
    assert (age["whole"], height["whole"]) == (True, False)
    assert colour == {"name": "colour", "categories": ["blue", "green", "red"]}
    assert sick["categories"] == ["no", "yes"]
    assert (age["low"], age["high"]) == (train.values[:, 0].min(), train.values[:, 0].max())


def test_rows_come_back_from_what_networks_see(where: DataLocation, people: Path) -> None:
    data = load(where, people)
    modality, field = get_modality("table"), data.spec.target
    seen = modality.encode(torch.from_numpy(data.values), field)
    assert (seen.shape, seen.dtype, float(seen.abs().max())) == ((32, 7), torch.float32, 1.0)
    np.testing.assert_allclose(modality.decode(seen, field), data.values, atol=1e-6)
    wild = modality.decode(torch.randn(500, 7) * 9, field)
    assert float(wild[:, 0].max()) <= field.facts["columns"][0]["high"]
    assert torch.equal(wild[:, 0], wild[:, 0].round())
    made = modality.made_up(field, 50, np.random.default_rng(0))
    assert modality.field(made, field.facts) == field


def test_a_column_may_be_the_label(where: DataLocation, people: Path) -> None:
    data = load(where, people, options="label=sick:")
    assert data.class_names == ("no", "yes")
    assert data.spec.classes == 2
    assert [column["name"] for column in data.spec.target.facts["columns"]] == HEADER[:3]
    with pytest.raises(UsageError, match=r"no column 'sik'. Did you mean sick"):
        load(where, people, options="label=sik:")
    with pytest.raises(UsageError, match="this column is numeric"):
        load(where, people, options="label=age:")


def test_gaps_semicolons_and_marks_of_order(where: DataLocation, tmp_path: Path) -> None:
    lines = ["\ufeffa;b", *(f"{number};x{number % 2}" for number in range(20)), "?;x0", "3;", "4"]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines), "utf-8")
    data = load(where, path)
    assert [column["name"] for column in data.spec.target.facts["columns"]] == ["a", "b"]
    assert data.notes == ("3 of 23 rows have gaps and are left out",)


def test_infinities_are_gaps_and_texts_among_numbers_are_told(where: DataLocation, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = ["a,b,c", *(f"{number},{number / 2},1_{number}" for number in range(20)), "5,inf,x", "5,-inf,x", "7,low,x"]
    path.write_text("\n".join(rows))
    data = load(where, path)
    a, b, c = data.spec.target.facts["columns"]
    assert ("categories" in a, "low" in b["categories"], "1_5" in c["categories"]) == (False, True, True)
    assert data.notes == (
        "2 of 23 rows have gaps and are left out",
        "column b is categorical, because 1 of its 21 cells are no numbers: low",
    )


def test_numbers_with_decimal_commas_are_told(where: DataLocation, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("a;b\n" + "\n".join(f"{number};{number},5" for number in range(20)))
    message = "column b is categorical, because its numbers have commas instead of points: 0,5"
    assert load(where, path).notes == (message,)
    path.write_text("a;b\n" + "\n".join(f"{number};{number},5" for number in range(300)))
    with pytest.raises(DataError, match=r"300 different texts, .* such as '0,5'\. Write its numbers with points"):
        load(where, path)


def test_numbers_are_written_to_six_digits_of_their_columns_range(tmp_path: Path) -> None:
    rows = np.array([[1.7e9 + 0.25, 0.5], [1.7e9 + 0.125, 0.123456789]])
    columns = [{"name": "time", "low": 1.7e9, "high": 1.7e9 + 1}, {"name": "share", "low": 0.0, "high": 1.0}]
    modality = get_modality("table")
    modality.write(torch.from_numpy(rows), modality.field(rows, {"columns": columns}), tmp_path / "rows.csv", {})
    assert (tmp_path / "rows.csv").read_text().split() == ["time,share", "1700000000.25,0.5", "1700000000.125,0.123457"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected a CSV file whose first line names the columns"),
        ("a,a\n" + "1,2\n" * 20, "the first line must name every column once"),
        ("a,b\n1,2\n", "expected at least 10 complete rows, but there are 1"),
        ("a,b\n" + "\n".join(f"1,text {i}" for i in range(300)), "column b has 300 different texts"),
        (b"\xff\xfe\x00", "byte 0 is not UTF-8. Save it with the encoding UTF-8"),
    ],
)
def test_other_files_are_refused(where: DataLocation, tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message):
        load(where, path)
    with pytest.raises(DataError, match="is not a file"):
        load(where, tmp_path)
    with pytest.raises(DataError, match=f"The file {tmp_path}/mind.csv does not exist. Did you mean {path}?"):
        load(where, tmp_path / "mind.csv")


def test_an_architecture_for_images_names_the_rows_or_the_missing_file(people: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cgan is for images, but table:.* has rows of a table. Choose vanilla"):
        ganzoo.train("cgan", dataset=f"table:{people}", steps=1, out=tmp_path / "run")
    for name in ("table:", "table:label=kind:"):
        with pytest.raises(DataError, match=f"^{tmp_path}/missing.csv does not exist"):
            ganzoo.train("cgan", dataset=f"{name}{tmp_path}/missing.csv", steps=1, out=tmp_path / "run")


def test_trains_and_writes_rows(people: Path, tmp_path: Path, ganzoo_cli: Command) -> None:
    run = ganzoo.train("vanilla", dataset=f"table:{people}", steps=3, batch_size=8, out=tmp_path / "run")
    assert next(run.samples.glob("*.png"))
    done = ganzoo_cli("sample", run.path, "--count", 5, "--seed", 0, "--out", tmp_path / "rows.csv")
    assert done.code == 0, done.err
    with (tmp_path / "rows.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert (header, len(rows)) == (HEADER, 5)
    assert all(row[2] in ("red", "green", "blue") and row[0].isdecimal() for row in rows)
    done = ganzoo_cli("sample", run.path, "--out", tmp_path / "folder")
    assert (done.code, "this run generates rows. Choose FILE.png or FILE.npz or FILE.csv" in done.err) == (2, True)
