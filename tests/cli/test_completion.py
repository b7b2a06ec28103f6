"""Shell completion: values and shell scripts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from ganzoo.cli import cli
from ganzoo.cli.completion import VARIABLE
from ganzoo.core import registry
from tests.conftest import GOOD_ARCHITECTURE, Command, Site
from tests.test_imports import loaded_after


def words(*typed: str) -> list[str]:
    *before, last = typed
    return [item.value for item in ShellComplete(cli, {}, "ganzoo", VARIABLE).get_completions(before, last)]


@pytest.mark.parametrize("command", [("train",), ("info",), ("check",)])
def test_architectures_are_completed(command: tuple[str, ...]) -> None:
    assert words(*command, "cg") == ["cgan"]
    assert words(*command, "") == sorted({entry.name for entry in registry.architectures()})


@pytest.mark.parametrize("command", [("train", "cgan", "--dataset"), ("check", "--dataset")])
def test_data_sets_are_completed(command: tuple[str, ...]) -> None:
    assert words(*command, "fa") == ["fashion_mnist"]
    assert words(*command, "") == sorted({entry.name for entry in registry.datasets()})


def test_settings_and_their_choices_are_completed() -> None:
    assert words("train", "cgan", "--set", "wid") == ["width="]
    assert words("train", "cgan", "--set", "loss=h") == ["loss=hinge"]
    assert words("check", "cgan", "--set", "networks=") == ["networks=conv", "networks=mlp"]
    assert words("train", "--set", "wid") == []
    assert words("train", "nobody", "--set", "wid") == []


def test_runs_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/cgan-digits-001", "runs/dcgan-digits-001", "runs/no-run", "elsewhere/mine"):
        Path(name).mkdir(parents=True)
        if name != "runs/no-run":
            Path(name, "config.json").touch()
    assert words("sample", "") == ["runs/cgan-digits-001", "runs/dcgan-digits-001", "cgan-mnist", "vanilla-ring"]
    assert words("train", "--resume", "runs/d") == ["runs/dcgan-digits-001"]
    assert words("evaluate", "elsewhere/") == ["elsewhere/mine"]


def test_runs_whose_names_a_shell_would_execute_or_change_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = ("a$(id)", "a`id`", "a;id", "a|id", "a&", "a\nplain,id", "a\x1b[1m")
    for name in (*commands, "a b", "a'", 'a"', "a*", "a~", "a!x"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "config.json").touch()
    for name in ("a-1", "año", "a.b_c@d%e+f"):
        Path("runs", name).mkdir(parents=True)
        Path("runs", name, "config.json").touch()
    assert words("sample", "runs/") == sorted(["runs/a-1", "runs/a.b_c@d%e+f", "runs/año"])


def test_names_are_completed_without_importing_a_plugin(site: Site, install: Callable[[Site], None]) -> None:
    site.add("stuck", 'raise RuntimeError("stuck")', {"stuck": "X"})
    install(site)
    assert words("train", "stu") == ["stuck"]
    assert "stuck" not in sys.modules


def test_a_plugin_that_prints_is_silent_while_settings_are_completed(
    site: Site, install: Callable[[Site], None], capsys: pytest.CaptureFixture[str]
) -> None:
    site.add("loud", f'{GOOD_ARCHITECTURE}\n    print("loud")', {"loud": "Good"})
    install(site)
    assert words("train", "loud", "--set", "dep") == ["depth="]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("typed", ["ganzoo train cg", "ganzoo train cgan --set wid"])
def test_completion_imports_no_heavy_package(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "zsh_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    assert loaded_after("import sys; sys.argv = ['ganzoo']; from ganzoo.cli import main; main()") == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_accepts_the_script(shell: str, ganzoo_cli: Command, tmp_path: Path) -> None:
    result = ganzoo_cli("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert VARIABLE in result.out
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(result.out)
        subprocess.run([shell, "-n", str(script)], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_bash_completes_names_keys_and_values(ganzoo_cli: Command, tmp_path: Path) -> None:
    lines = {
        "ganzoo train cg": "cgan",
        "ganzoo train cgan --set wid": "width=",
        "ganzoo train cgan --set los": "loss=energy loss=hinge loss=least_squares loss=minimax loss=nonsaturating "
        "loss=relativistic loss=relativistic_average loss=wasserstein",
        "ganzoo train cgan --set loss=": (
            "energy hinge least_squares minimax nonsaturating relativistic relativistic_average wasserstein"
        ),
        "ganzoo train cgan --set loss=h": "hinge",
        "ganzoo train cgan --set loss=hinge --set networks=m": "mlp",
        "ganzoo train --dataset folder:x=y vanil": "vanilla",
        "ganzoo train cgan --dataset=fas": "fashion_mnist",
        "ganzoo train cgan --precision ": "fp32 tf32 bf16 fp16",
    }
    program = tmp_path / "bin"
    program.mkdir()
    (program / "ganzoo").write_text(
        f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'ganzoo'\nfrom ganzoo.cli import main\nmain()\n"
    )
    (program / "ganzoo").chmod(0o755)
    script = ganzoo_cli("completion", "bash").out
    for typed in lines:  # as bash splits them: at blanks, and before and after = and :
        words = [word for part in typed.split(" ") for word in re.split("([=:]+)", part) if word or not part]
        script += f"\nCOMP_WORDS=({' '.join(word or repr('') for word in words)})\nCOMP_CWORD={len(words) - 1}\n"
        script += "_ganzoo_completion ganzoo\necho ${COMPREPLY[@]}\n"
    environment = {**os.environ, "PATH": f"{program}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment)
    assert (done.stdout.splitlines(), done.stderr) == (list(lines.values()), "")


def test_an_unknown_shell_is_refused(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("completion", "tcsh")
    assert result.code == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.err
