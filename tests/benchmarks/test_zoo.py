"""benchmarks/quality/zoo.py, on the small digits."""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from ganzoo import data
from tests.conftest import GOOD_ARCHITECTURE, Site

REFUSES = """
    from ganzoo.core import plugin
    from ganzoo.core.errors import UsageError

    class Refuses(plugin.Architecture):
        api_version = 2
        summary = "an architecture for other images"
        paper = "Nobody 2026, A Paper"

        def build(self, config, spec):
            raise UsageError("not such images")
"""
QUALITY = Path(__file__).parents[2] / "benchmarks/quality"


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(QUALITY))
    return importlib.import_module("zoo")


@pytest.fixture
def run(zoo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the script; what it prints."""

    def call(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["zoo.py", *map(str, words)])
        zoo.main()
        return capsys.readouterr().out

    return call


def table(out: Path) -> dict[str, dict[str, str]]:
    """The lines of the CSV file by row and seed."""
    with (out / "digits.csv").open(newline="") as file:
        return {f"{line['row']} {line['seed']}".strip(): line for line in csv.DictReader(file)}


def test_rows_are_the_installed_architectures_that_fit_the_data(
    zoo: ModuleType, site: Site, install: Callable[[Site], None]
) -> None:
    site.add("ganzoo-mine", GOOD_ARCHITECTURE, {"mine": "Good", "broken": "Bad"})
    install(site)
    names = {row.name for row in zoo.rows(data.open("digits"))}
    assert {"mine", "vanilla", "dcgan", "cgan", "stylegan2-cond", "sgan"} <= names
    assert not names & {"broken", "pix2pix", "cyclegan", "srgan", "wavegan", "wavegan-cond"}
    without_labels = {row.name for row in zoo.rows(data.open("digits").only(()))}
    assert {"mine", "dcgan"} <= without_labels
    assert not without_labels & {"cgan", "sgan"}


def test_a_recipe_for_such_data_is_a_row_of_its_own(zoo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganzoo.core import registry
    from ganzoo.plugin import Recipe

    recipes = {name: Recipe(summary=name, settings={}, shape=(1, n, n)) for name, n in (("small", 8), ("large", 64))}
    monkeypatch.setattr(type(registry.get_architecture("vanilla").card), "recipes", recipes)
    rows = {row.name: row for row in zoo.rows(data.open("digits"))}
    assert rows["vanilla small"] == zoo.Row("vanilla small", "vanilla", "small")
    assert "vanilla large" not in rows


def test_a_cell_has_the_median_and_the_range_of_what_differs(zoo: ModuleType) -> None:
    lines = [{"row": "vanilla", "samples": "5000", "frechet": value, "kid": ""} for value in ("9.0", "1.0", "2.0")]
    heads = ("row", "samples", "frechet", "kid")
    assert [zoo.cell(lines, head) for head in heads] == ["vanilla", "5,000", "2.0 (1.0 to 9.0)", ""]


def test_a_table_goes_on_from_what_is_there(
    run: Callable[..., str], tmp_path: Path, site: Site, install: Callable[[Site], None]
) -> None:
    site.add("ganzoo-mine", REFUSES, {"mine": "Refuses"})
    install(site)
    small = (tmp_path, "--dataset", "digits", "--samples", 300)
    said = run(*small, "--only", "vanilla,mine", "--processor-seconds", 0.1, "--seeds", 1)
    assert "1 of 2: digits, mine, seed 0: note failed: not such images" in said
    first = table(tmp_path)
    assert list(first) == ["mine 0", "real images", "vanilla 0"]
    assert float(first["real images"]["frechet"]) < float(first["vanilla 0"]["frechet"])
    assert first["vanilla 0"]["class_entropy"] != ""
    assert first["vanilla 0"]["label_accuracy"] == ""

    measured = tmp_path / "digits/vanilla-0/evaluation.json"
    before = measured.stat().st_mtime_ns
    run(*small, "--only", "vanilla", "--processor-seconds", 0.1, "--seeds", 2)
    assert measured.stat().st_mtime_ns == before
    second = table(tmp_path)
    assert {"mine 0", "vanilla 0", "vanilla 1"} <= set(second)
    assert second["vanilla 0"] == first["vanilla 0"]
    written = (tmp_path / "digits.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in written[2:]] == ["| real images", "| vanilla", "| mine"]

    run(*small, "--only", "vanilla", "--processor-seconds", 2, "--seeds", 1)
    third = table(tmp_path)
    assert int(third["vanilla 0"]["steps"]) > int(first["vanilla 0"]["steps"])
    assert measured.stat().st_mtime_ns > before
    with Image.open(tmp_path / "digits.png") as picture:
        assert picture.height == 2 * 12  # real images and vanilla, 8 pixels and a gap on both sides


def test_the_row_of_real_images_shows_all_classes_of_a_sorted_folder(zoo: ModuleType, tmp_path: Path) -> None:
    for shade in (0, 250):
        (tmp_path / f"sorted/{shade}").mkdir(parents=True)
        for number in range(20):
            Image.new("L", (8, 8), shade).save(tmp_path / f"sorted/{shade}/{number}.png")
    strip = zoo.Table(f"folder:{tmp_path / 'sorted'}", tmp_path, 10).real()
    first, last = strip.getpixel((6, 6)), strip.getpixel((strip.width - 7, 6))
    assert (first, last) == (0, 250)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "dcgna"], "No row is called 'dcgna'. Did you mean dcgan?"),
        (["--dataset", "digtis"], "No data set is called 'digtis'. Did you mean digits?"),
        (["--dataset", "digits"], "Two data sets are called digits: choose one."),
        (["--dataset", "ring"], "ring cannot have a table: it needs images with class labels."),
        (["--processor-seconds", "0"], "argument --processor-seconds: expected a number above 0, but got 0"),
        (["--seeds", "many"], "argument --seeds: invalid number value: 'many'"),
    ],
)
def test_bad_arguments_get_one_message(
    words: list[str], message: str, run: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        run(tmp_path / "out", "--dataset", "digits", *words)
    assert exit.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"zoo.py: error: {message}"
    assert not (tmp_path / "out").exists()
