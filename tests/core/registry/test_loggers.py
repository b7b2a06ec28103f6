"""Loggers of other packages: used by name, kept on resume, and broken in isolation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import ganzoo
from tests.conftest import Command, Site

GOOD = """
    import json
    from ganzoo import Callback

    class Lines(Callback):
        def on_start(self, training):
            self.file = training.run.path / "lines.txt"

        def on_metrics(self, row):
            with self.file.open("a") as file:
                print(row["step"], file=file)

    class Needy(Callback):
        def __init__(self):
            from ganzoo.errors import UsageError
            raise UsageError("install needy first")

    class Other: ...
"""
FAST = ("--dataset", "digits", "--set", "batch_size=8", "--log-every", 1)


@pytest.fixture
def loggers(site: Site, install: Callable[[Site], None]) -> Site:
    site.add("log-lines", GOOD, loggers={"lines": "Lines", "needy": "Needy", "other": "Other"})
    site.add("stuck", 'raise RuntimeError("stuck")', loggers={"stuck": "X"})
    install(site)
    return site


def test_a_logger_by_name_sees_every_row_and_stays_on_resume(
    loggers: Site, ganzoo_cli: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ("--logger", "lines", "--logger", "tensorboard", "--steps", 2, "--out", run)
    trained = ganzoo_cli("train", "vanilla", *FAST, *words)
    assert trained.code == 0, trained.err
    assert json.loads((run / "config.json").read_text())["logger"] == ["lines", "tensorboard"]
    assert ganzoo_cli("train", "--resume", run, "--steps", 3).code == 0
    assert (run / "lines.txt").read_text().split() == ["1", "2", "3"]
    assert ganzoo_cli("train", "--resume", run, "--steps", 4, "--logger", "tensorboard").code == 0
    assert (run / "lines.txt").read_text().split() == ["1", "2", "3"]


def test_from_python_and_from_a_file(loggers: Site, ganzoo_cli: Command, tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="digits", steps=1, batch_size=8, logger="lines", out=tmp_path / "python")
    assert (run.path / "lines.txt").exists()
    file = tmp_path / "options.toml"
    file.write_text('logger = ["lines"]\nsteps = 1\n')
    assert ganzoo_cli("train", "vanilla", *FAST, "--config", file, "--out", tmp_path / "file").code == 0
    assert (tmp_path / "file" / "lines.txt").read_text() == "1\n"
    file.write_text('logger = "lines"\n')
    result = ganzoo_cli("train", "vanilla", *FAST, "--config", file)
    assert (result.code, "logger must be a list of texts, not 'lines'" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("liens", 2, "no logger is called 'liens'. Did you mean lines?"),
        ("stuck", 1, "The logger 'stuck' from stuck 1.0 cannot be used: RuntimeError: stuck"),
        ("other", 1, "it must be a subclass of ganzoo.Callback, but is the class Other"),
        ("needy", 2, "install needy first"),
    ],
)
def test_one_that_cannot_be_used_is_refused_before_anything_is_written(
    name: str, code: int, reason: str, loggers: Site, ganzoo_cli: Command, tmp_path: Path
) -> None:
    result = ganzoo_cli("train", "vanilla", *FAST, "--steps", 1, "--logger", name, "--out", tmp_path / "run")
    assert result.code == code
    assert reason in result.err
    assert not (tmp_path / "run").exists()


def test_a_run_without_loggers_has_an_empty_list(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="digits", steps=1, batch_size=8, out=tmp_path / "run")
    assert re.search(r'"logger": \[\]', (run.path / "config.json").read_text())
