"""The command line as a whole: exit codes, hints, pipes and colours."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo import __version__
from ganzoo.cli import COMMANDS
from tests.conftest import Command


def test_version(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("--version")
    assert (result.code, result.out) == (0, f"ganzoo, version {__version__}\n")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command(flag: str, ganzoo_cli: Command) -> None:
    result = ganzoo_cli(flag)
    assert (result.code, result.err) == (0, "")
    listed = re.findall(r"^  (\w+) ", result.out.partition("\nCommands:\n")[2], re.MULTILINE)
    assert listed == list(COMMANDS)
    assert {"train", "sample", "evaluate", "list", "bench"} <= set(listed)


def test_every_description_of_a_command_fits_into_80_columns() -> None:
    environment = {**os.environ, "COLUMNS": "80"}
    words = [sys.executable, "-m", "ganzoo", "--help"]
    shown = subprocess.run(words, capture_output=True, text=True, env=environment, check=True).stdout
    assert "..." not in shown.partition("\nCommands:\n")[2]
    assert all(command in shown.partition("\nCommands:\n")[2] for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, ganzoo_cli: Command) -> None:
    result = ganzoo_cli(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert f"ganzoo {command}" in result.out


def test_ganzoo_without_a_command_shows_the_help(ganzoo_cli: Command) -> None:
    result = ganzoo_cli()
    assert (result.code, result.out) == (2, "")
    assert "Commands:" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lst",), "No such command 'lst'. Did you mean list?"),
        (("trian", "cgan"), "No such command 'trian'. Did you mean train"),
        (
            ("xyzzy",),
            "No such command 'xyzzy'. Known: arithmetic, bench, check, compare, completion, ",
        ),
        (("info", "CGAN"), "No architecture is called 'CGAN'. Did you mean cgan?"),
        (("generate",), "No such command 'generate'. Did you mean sample?"),
        (("init", "mine"), "No such command 'init'. Did you mean new?"),
        (("train", "--lr", "0.1"), "No such option '--lr'. To change a setting, write --set generator_lr=VALUE or "),
        (("train", "cgan", "--loss=hinge"), "No such option '--loss'. To change a setting, write --set loss=VALUE.\n"),
        (("list", "--loss", "hinge"), "No such option '--loss'."),
        (("--verbose",), "No such option"),
        (("list", "--jsn"), "No such option"),
        (("list", "extra"), "unexpected extra argument"),
        (("info",), "Missing argument 'ARCHITECTURE'"),
        (("train", "vanilla", "--dataset", "digits", "--stps", "3"), "No such option"),
        (("train", "vanilla", "--dataset", "digits", "--set", "loss"), "'loss' is not valid: expected KEY=VALUE"),
        (("train", "vanilla", "--dataset", "digits", "--set", "los=hinge"), "Unknown setting 'los'. Did you mean loss"),
        (
            ("train", "vanilla", "--dataset", "digits", "--set", "beta1=high"),
            "beta1=high is not valid: expected number",
        ),
        (("train", "dcgan", "--dataset", "digits", "--set", "penalty=clip"), "Choose loss=wasserstein, or penalty=r1"),
    ],
)
def test_wrong_usage_is_code_2_with_one_message(arguments: tuple[str, ...], message: str, ganzoo_cli: Command) -> None:
    result = ganzoo_cli(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert message in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(("command", "code"), [("list", 0), ("list --json", 1), ("--help", 1), ("datasets", 0)])
def test_a_closed_pipe_prints_no_error(command: str, code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "ganzoo", *command.split()], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (code, "")


def test_a_process_started_without_stdout_works() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m ganzoo info vanilla >&-', sys.executable], stderr=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """The output of `ganzoo` on a colour terminal."""
    main_end, program_end = pty.openpty()
    excluded = ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "CI")
    inherited = {name: value for name, value in os.environ.items() if name not in excluded}
    process = subprocess.Popen(
        [sys.executable, "-m", "ganzoo", *arguments],
        stdout=program_end,
        stderr=program_end,
        env={**inherited, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
    )
    os.close(program_end)
    written = b""
    try:
        while part := os.read(main_end, 65536):
            written += part
    except OSError:  # Linux reports the end of a terminal's output as an error
        pass
    os.close(main_end)
    assert process.wait() == 0
    return written.decode()


def test_colours_on_a_terminal_and_none_under_no_color() -> None:
    assert "\x1b[" in on_a_terminal("list")
    plain = on_a_terminal("list", NO_COLOR="1")
    assert "strided convolutions" in plain
    assert "\x1b" not in plain


def test_step_speed_and_losses_fit_into_80_columns(tmp_path: Path) -> None:
    words = ["--dataset", "digits", "--steps", "60", "--batch-size", "16", "--out", str(tmp_path / "run")]
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", on_a_terminal("train", "vanilla", *words, COLUMNS="80"))
    assert re.search(r"step \d+/60 \S+ [\d,]+ images/s [\d:-]+", shown)
    assert re.search(r"[\r\n]loss D .* D\(real\) .* diversity \d", shown)
    assert "…" not in shown

    ended = on_a_terminal("train", "--resume", str(tmp_path / "run"), COLUMNS="40")
    assert "Nothing is left to train: this run\r\nis at step 60." in ended


def test_output_that_is_no_terminal_has_no_colours(ganzoo_cli: Command) -> None:
    assert "\x1b" not in ganzoo_cli("list").out
    assert "\x1b" not in ganzoo_cli("info", "vanilla").out
