"""`ganzoo runs` and `ganzoo plot`."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import ganzoo as package
from ganzoo.evaluation.results import Evaluation
from ganzoo.training.failure_detection import Alarm
from ganzoo.training.run import Run
from tests.conftest import Command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the runs a, b (with figures and an alarm) and damaged in `runs`."""
    monkeypatch.chdir(tmp_path)
    for name, steps in (("a", 4), ("b", 2)):
        package.train("vanilla", dataset="ring", steps=steps, log_every=1, batch_size=16, out=f"runs/{name}")
    run = Run.open("runs/b")
    figures = {"high_quality": {"value": 0.25, "better": "higher"}}
    Evaluation("b", "step-00000002", {"modes": {"figures": figures, "protocol": {}}}).write(run)
    run.add_alarm(Alarm("mode collapse", 1, "evidence", "remedy"))
    Path("runs/damaged").mkdir()
    Path("runs/damaged/config.json").write_text("{")
    return tmp_path


def order(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()[1:]]


def test_runs_are_listed_and_sorted(folder: Path, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("runs")
    assert result.code == 0, result.err
    lines = {line.split()[0]: line for line in result.out.splitlines()}
    assert lines["a"].split() == ["a", "vanilla", "ring", "4"]
    assert lines["b"].split() == ["b", "vanilla", "ring", "2", "mode", "collapse", "high_quality", "0.25"]
    assert "damaged cannot be read" in lines["damaged"]
    assert order(ganzoo_cli("runs", "--sort", "step").out) == ["b", "a", "damaged"]
    assert order(ganzoo_cli("runs", "--sort", "step", "--reverse").out) == ["a", "b", "damaged"]
    assert order(ganzoo_cli("runs", "runs", "--sort", "high_quality").out)[0] == "b"
    rows = json.loads(ganzoo_cli("runs", "--json").out)
    assert [row["name"] for row in rows] == ["a", "b", "damaged"]
    assert rows[1]["figures"] == {"high_quality": 0.25}


def test_the_main_figures_are_shown_first(folder: Path, ganzoo_cli: Command) -> None:
    values = {"class_coverage": 0.1, "class_coverage_min": 0.2, "recall": 0.3, "density": 0.4, "frechet": 4.0}
    figures = {name: {"value": value, "better": "higher"} for name, value in values.items()}
    Evaluation("a", "step-00000004", {"metric": {"figures": figures, "protocol": {}}}).write(Run.open("runs/a"))
    (row,) = (line for line in ganzoo_cli("runs").out.splitlines() if line.startswith("a "))
    assert row.split()[4:] == ["frechet", "4,", "recall", "0.3,", "class_coverage", "0.1"]
    assert json.loads(ganzoo_cli("runs", "--json").out)[0]["figures"] == values
    assert order(ganzoo_cli("runs", "--sort", "density").out)[0] == "a"


def test_what_cannot_be_listed(folder: Path, ganzoo_cli: Command) -> None:
    assert "called 'high'. Did you mean high_quality?" in ganzoo_cli("runs", "--sort", "high").err
    missing = ganzoo_cli("runs", "nowhere")
    assert (missing.code, missing.err.startswith("Error: There is no directory nowhere.")) == (2, True)
    Path("empty").mkdir()
    assert "There are no runs in empty." in ganzoo_cli("runs", "empty").out


def test_runs_are_deleted_after_asking(folder: Path, ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs/a/notes.txt").write_text("mine")
    asked: list[str] = []

    def no(text: str, abort: bool) -> None:
        asked.append(text)
        raise click.Abort

    monkeypatch.setattr(click, "confirm", no)
    result = ganzoo_cli("runs", "--delete", "runs/a", "--delete", "runs/b")
    assert result.code == 130
    assert asked == ["Delete these 2 runs?"]
    assert "with files of yours: notes.txt" in result.out
    assert Path("runs/a/config.json").exists()
    assert ganzoo_cli("runs", "--delete", "runs/a", "--yes").code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["b", "damaged"]


def test_what_is_not_deleted(folder: Path, ganzoo_cli: Command) -> None:
    Path("other").mkdir()
    Path("link").symlink_to("runs/a")
    with Run.open("runs/b").locked():
        assert "is being trained by another process" in ganzoo_cli("runs", "--delete", "runs/b", "--yes").err
    assert "other is not a run directory" in ganzoo_cli("runs", "--delete", "other", "--yes").err
    assert "link is a link" in ganzoo_cli("runs", "--delete", "link", "--yes").err
    # nothing is deleted if one of several cannot be
    assert ganzoo_cli("runs", "--delete", "runs/a", "--delete", "other", "--yes").code == 2
    assert all(Path(name).exists() for name in ("runs/a", "runs/b", "other", "link"))


def test_curves_of_one_run_and_of_two(folder: Path, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("plot", "runs/b")
    assert result.code == 0, result.err
    assert "b, step 1: mode collapse. evidence" in result.out
    one = np.asarray(Image.open("plot.png"))
    assert (one == (200, 30, 60)).all(2).any()  # the alarm
    assert (one == (0, 114, 178)).all(2).sum() > 500  # a curve in the first colour of the palette
    assert ganzoo_cli("plot", "runs/a", "runs/b", "--out", "two.png").code == 0
    two = np.asarray(Image.open("two.png"))
    assert not (two == (200, 30, 60)).all(2).any()
    assert (two == (213, 94, 0)).all(2).sum() > 500
    again = ganzoo_cli("plot", "runs/b")
    assert (again.code, "plot.png exists" in again.err) == (2, True)


def test_a_run_without_metrics_has_no_curves(folder: Path, ganzoo_cli: Command) -> None:
    Path("runs/a/metrics.jsonl").unlink()
    result = ganzoo_cli("plot", "runs/a")
    assert result.code == 1
    assert "runs/a has no metrics yet" in result.err
    assert not Path("plot.png").exists()
