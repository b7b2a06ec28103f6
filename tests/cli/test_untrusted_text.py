"""Text of runs that would control a terminal, and names that would be typed into a shell."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from rich.panel import Panel

import ganzoo
from ganzoo.cli.console import Console, escape, table
from ganzoo.core.errors import PluginError
from ganzoo.core.text import printable
from ganzoo.training.callbacks import WarningLog
from tests.conftest import Command
from tests.untrusted import small_run

EVIL = "a\x1b]0;title\x07\x1b[2Jb\x9b31m\r\u202e\u2028\x7f\x00"
SHOWN = r"a\x1b]0;title\x07\x1b[2Jb\x9b31m\r\u202e\u2028\x7f\x00"


def test_only_tabs_and_newlines_remain_of_control_characters() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("añ字\t🎲\n") == "añ字\t🎲\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_console_escapes_every_kind_of_output(terminal: bool) -> None:
    file = io.StringIO()
    console = Console(file=file, width=400, force_terminal=terminal, color_system=None)
    console.print(EVIL)
    console.print_line(EVIL)
    console.print_prose(escape(EVIL))
    console.print(table((EVIL, "x"), [(EVIL, "1")], title=EVIL))
    console.print(Panel(EVIL))
    text = file.getvalue()
    assert text.count("title") == 7
    assert not set(text) & set(EVIL) - set("ab]0;title[2Jb31m")


@pytest.mark.parametrize("columns", ["0", "-1", "1", "x"])
def test_a_terminal_without_width_shows_something(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    file = io.StringIO()
    Console(file=file).print(table(("name",), [("cgan",)]))
    assert file.getvalue().split() == ["name", "cgan"]


def test_colours_of_our_own_remain() -> None:
    file = io.StringIO()
    Console(file=file, force_terminal=True, color_system="standard", no_color=False).print("[bold]x[/]")
    assert file.getvalue() == "\x1b[1mx\x1b[0m\n"


def test_errors_of_ours_and_of_click_are_escaped(ganzoo_cli: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"format": 1, "architecture": [EVIL]}))
    for words in (("sample", run), ("sample", run / "x\x1b[1m"), ("x\x1b[1m",), ("train", "--x\x1b[1m")):
        result = ganzoo_cli(*words)
        assert result.code in (1, 2)
        assert result.err.count("Error: ") == 1
        assert not set(result.err) & set("\x1b\x07\x9b"), result.err


def test_names_in_a_run_reach_the_terminal_escaped(ganzoo_cli: Command, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", steps=1, evaluate_every=None, best_by=None)
    ganzoo.evaluate(run, metrics=["modes"], samples=2500)
    config = json.loads((run / "config.json").read_text())
    config["versions"]["torch"] = config["seed_note"] = EVIL
    (run / "config.json").write_text(json.dumps(config))
    results = json.loads((run / "evaluation.json").read_text())
    results["findings"]["modes"] |= {"verdict": EVIL, "pictures": [EVIL.replace("\0", "")]}
    (run / "evaluation.json").write_text(json.dumps(results))
    for words in (("compare", run), ("train", "--resume", run, "--steps", 2)):
        result = ganzoo_cli(*words)
        assert result.code == 0, result.err
        assert "title" in result.out
        assert not set(result.out + result.err) & set("\x1b\x07\x9b")


def test_logged_warnings_are_escaped(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="ganzoo"):
        WarningLog().on_note(EVIL)
    assert caplog.messages == [SHOWN]


@pytest.mark.parametrize(
    ("distribution", "suggested"),
    [("ganzoo-x.y_2", True), ("x; rm -rf ~", False), ("-r evil", False), ("https://example.org/x", False), ("", False)],
)
def test_only_a_name_that_pip_accepts_is_suggested(distribution: str, suggested: bool, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", steps=1, evaluate_every=None, best_by=None)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"distribution": distribution, "architecture": "strange"}))
    with pytest.raises(PluginError, match="which is not installed") as failure:
        ganzoo.load(run)
    assert (f"pip install {distribution}" in str(failure.value)) == suggested
    assert ("pip install" in str(failure.value)) == suggested
