from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import ganzoo
from ganzoo.evaluation.results import Evaluation
from ganzoo.training.run import Run
from tests.conftest import Command

NAMES = ("cgan-mnist-001", "cgan-mnist-002", "dcgan-mnist-001", "infogan-fashion_mnist-001")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with the runs a and b."""
    home = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.chdir(home)
        ganzoo.train("vanilla", dataset="ring", steps=10, batch_size=32, out="a")
        ganzoo.train("vanilla", dataset="ring", steps=10, batch_size=32, out="b", loss="hinge")
        yield home


@pytest.fixture
def runs(folder: Path) -> Iterator[list[str]]:
    """Copies of the run b with long names and invented results; the second differs in the number of samples."""
    paths = [f"runs/{name}" for name in NAMES]
    for i, path in enumerate(paths):
        shutil.copytree("b", path, ignore=shutil.ignore_patterns("evaluation*"))
        run = Run.open(path)
        run.config["settings"]["generator_lr"] = i
        run.write_config()
        figures = {
            name: {"value": 0.12345 * (i + 1), "better": "higher", "real": 0.9}
            for name in ("class_coverage_min", "precision")
        }
        protocol = {"samples": 300 if i == 1 else 10_000, "subset_size": 300 if i == 1 else 1000, "seed": i}
        coverage = {"figures": figures, "protocol": protocol}
        swd = {"figures": {"swd": {"value": 12_345.0 + i, "better": "lower"}}, "protocol": {"samples": 10_000}}
        Evaluation(run.path.name, "step-00000010", {"coverage": coverage, "swd": swd}).write(run)
    yield paths
    shutil.rmtree("runs")


def test_values_and_settings_are_shown_and_a_page_is_written(ganzoo_cli: Command, folder: Path) -> None:
    refused = ganzoo_cli("compare", "a", "b")
    assert refused.code == 2
    assert "a and b have not been evaluated. Run: ganzoo evaluate a, or add --evaluate." in refused.err

    ganzoo_cli("evaluate", "a")
    result = ganzoo_cli("compare", "a", "b", "--evaluate", "--html", "page.html")
    assert result.code == 0, result.err
    assert "Evaluating b" in result.out
    assert "Evaluating a" not in result.out
    assert " *" in result.out
    assert "settings.loss" in result.out
    assert "hinge" in result.out
    assert "(1)" not in result.out
    assert (folder / "page.html").read_text().startswith("<!doctype html>")
    assert "Page  page.html" in result.out


def test_values_of_different_protocols_have_a_footnote_and_no_star(ganzoo_cli: Command, runs: list[str]) -> None:
    result = ganzoo_cli("compare", *runs[:2])
    lines = {line.split()[0]: line for line in result.out.splitlines() if line}
    assert "(1)" in lines["precision"]
    assert "*" not in lines["precision"]
    assert "(1)" not in lines["swd"]
    assert "12,345 *" in lines["swd"]
    assert (
        "(1) Not comparable: class_coverage_min, precision. The runs were evaluated with different numbers of samples "
        "(10,000; 300)."
    ) in result.out


def test_json_names_the_paths_and_the_differences(ganzoo_cli: Command, runs: list[str]) -> None:
    content = json.loads(ganzoo_cli("compare", f"{runs[0]}/", runs[1], "--json").out)
    assert content["runs"] == [f"{runs[0]}/", runs[1]]
    assert list(content["settings"]) == content["runs"]
    assert content["figures"]["precision"]["differences"] == ["samples", "subset_size"]
    assert content["figures"]["swd"]["figures"][0]["value"] == 12_345.0


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_no_word_is_broken_at_80_columns(
    ganzoo_cli: Command, runs: list[str], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = ganzoo_cli("compare", *runs[:count]).out
    assert "runs/" not in out
    for line in out.splitlines():
        if not line.startswith("(") and not line.endswith("."):  # only a terminal wraps sentences
            assert len(line.rstrip()) <= 80
    for word in (*NAMES[:count], "class_coverage_min", "12,345"):
        assert word in out
    if count > 1:
        assert "settings.generator_lr" in out
    numbered = [f"[{i + 1}]  {name}" in out for i, name in enumerate(NAMES[:count])]
    assert numbered == [count > 2] * count


def test_runs_that_do_not_fit_side_by_side_are_in_further_tables(
    ganzoo_cli: Command, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = ganzoo_cli("compare", *runs).out
    assert out.count("class_coverage_min") > 1
    values = [word for line in out.splitlines() if line.startswith("swd") for word in line.split() if "," in word]
    assert values == ["12,345", "12,346", "12,347", "12,348"]


def test_a_page_in_a_missing_directory_is_refused(ganzoo_cli: Command, folder: Path) -> None:
    result = ganzoo_cli("compare", "a", "--html", "nowhere/page.html")
    assert result.code == 2
    assert "nowhere does not exist" in result.err
