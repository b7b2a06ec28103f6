"""An architecture from one file: used wherever the user names it, and never because a run directory names it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import ganzoo
from ganzoo.core.errors import PluginError, UsageError
from ganzoo.core.registry import get_architecture
from tests.conftest import Command

SOURCE = "from ganzoo_plugins.vanilla import Vanilla\n\n\nclass MyGAN(Vanilla):\n    api_version = 1\n"
BROKEN = "    def build(self, config, spec):\n        return config.nothing\n"
RAN = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
"""Code that leaves a file behind."""
TRAIN = ("--dataset", "digits", "--steps", 2, "--set", "batch_size=8")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """mygan.py in the current directory, of a user who has never used ganzoo."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mygan.py"
    file.write_text(SOURCE)
    return file


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.startswith("ganzoo_file_")]:
        del sys.modules[name]


def test_it_is_trained_sampled_resumed_and_described(file: Path, ganzoo_cli: Command) -> None:
    trained = ganzoo_cli("train", "./mygan.py:MyGAN", *TRAIN)
    assert trained.code == 0, trained.err
    run = Path("runs/mygan-digits-001")
    config = json.loads((run / "config.json").read_text())
    assert config["architecture"] == "mygan"
    assert config["file"]["path"] == str(file)
    assert config["file"]["class"] == "MyGAN"
    assert len(config["file"]["sha256"]) == 64
    assert ganzoo_cli("sample", run, "--count", 4).code == 0
    assert ganzoo_cli("train", "--resume", run, "--steps", 3).code == 0
    assert ganzoo_cli("train", "mygan.py:MyGAN", "--resume", run, "--steps", 4).code == 0
    shown = ganzoo_cli("info", "mygan.py:MyGAN")
    assert shown.code == 0
    assert f"({file}:MyGAN)" in shown.out
    assert ganzoo.load(run).sample(2).shape == (2, 1, 8, 8)


def test_the_checks_run_on_it(file: Path) -> None:
    from ganzoo import testing

    names = {check.name: check for check in testing.architecture_checks("./mygan.py:MyGAN")}
    names["metadata"]()
    assert len(names) > 15


@pytest.mark.parametrize(
    ("source", "target", "kind", "reason"),
    [
        (SOURCE, "other.py:MyGAN", UsageError, r"There is no file other\.py\."),
        (SOURCE, "mygan.py", UsageError, r"^mygan\.py names a file without a class: write mygan\.py:CLASS\.$"),
        (SOURCE, "mygan.py:MyGun", UsageError, r"mygan\.py has no class MyGun\. Did you mean MyGAN\?"),
        ("x = 1", "mygan.py:MyGAN", UsageError, r"mygan\.py has no class MyGAN\.$"),
        ("1 / 0", "mygan.py:MyGAN", PluginError, r"(?s)cannot be used: ZeroDivisionError.*mygan\.py\", line 1"),
        ("def f(:", "mygan.py:MyGAN", PluginError, "SyntaxError"),
        (SOURCE + BROKEN, "mygan.py:MyGAN", PluginError, r"^/\S+/mygan\.py:MyGAN could not build its networks for"),
        ("class MyGAN: ...", "mygan.py:MyGAN", PluginError, "must be a subclass of ganzoo.Architecture"),
    ],
)
def test_what_cannot_be_used_says_why(source: str, target: str, kind: type[Exception], reason: str, file: Path) -> None:
    file.write_text(source)
    with pytest.raises(kind, match=reason):
        ganzoo.train(target, dataset="digits", steps=1)
    assert not Path("runs").exists()


def test_a_name_alone_never_means_a_file(file: Path) -> None:
    with pytest.raises(UsageError, match="No architecture is called"):
        get_architecture("./mygan.py:MyGAN")


def test_a_run_from_elsewhere_does_not_run_a_file(
    file: Path, ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(SOURCE + RAN)
    ran = file.with_name("ran")
    assert ganzoo_cli("train", "./mygan.py:MyGAN", *TRAIN, "--out", "run").code == 0
    ran.unlink()
    forget_modules()
    monkeypatch.setenv("XDG_DATA_HOME", str(file.parent / "home of another user"))
    commands = (("sample", "run"), ("evaluate", "run"), ("train", "--resume", "run", "--steps", 3))
    for command in commands:
        result = ganzoo_cli(*command)
        assert result.code == 1
        assert result.err.count("\n") == 1
        assert f"name it once: ganzoo info {file}:MyGAN" in result.err
    assert not ran.exists()
    assert ganzoo_cli("info", f"{file}:MyGAN").code == 0
    assert ran.exists()
    assert ganzoo_cli("sample", "run", "--count", 4).code == 0


def test_a_changed_file_is_not_run(file: Path, ganzoo_cli: Command) -> None:
    assert ganzoo_cli("train", "./mygan.py:MyGAN", *TRAIN, "--out", "run").code == 0
    file.write_text(SOURCE + RAN)
    for command in (("sample", "run"), ("train", "--resume", "run", "--steps", 3)):
        result = ganzoo_cli(*command)
        assert result.code == 1
        assert f"trained with MyGAN of the file {file}, which has changed since" in result.err
    assert not file.with_name("ran").exists()
    config = json.loads(Path("run/config.json").read_text())
    config["file"]["sha256"] = "0" * 64
    Path("run/config.json").write_text(json.dumps(config))
    assert "you have never run that file with the content" in ganzoo_cli("sample", "run").err
    assert not file.with_name("ran").exists()


def test_a_file_that_is_gone_is_one_message(file: Path, ganzoo_cli: Command) -> None:
    assert ganzoo_cli("train", "./mygan.py:MyGAN", *TRAIN, "--out", "run").code == 0
    shutil.move(file, file.with_name("moved.py"))
    result = ganzoo_cli("sample", "run")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert f"trained with MyGAN of the file {file}, which is not there. Put it back." in result.err


@pytest.mark.parametrize("record", [None, [], {"path": 3}, {"path": "x", "class": "y"}])
def test_a_damaged_record_is_one_message(record: object, file: Path, ganzoo_cli: Command) -> None:
    assert ganzoo_cli("train", "./mygan.py:MyGAN", *TRAIN, "--out", "run").code == 0
    config = json.loads(Path("run/config.json").read_text())
    Path("run/config.json").write_text(json.dumps(config | {"file": record}))
    result = ganzoo_cli("sample", "run")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "config.json is damaged: file" in result.err


def test_another_class_does_not_resume_the_run(file: Path, ganzoo_cli: Command) -> None:
    file.write_text(SOURCE + "\nclass Other(MyGAN): api_version = 1\n")
    assert ganzoo_cli("train", "./mygan.py:MyGAN", *TRAIN, "--out", "run").code == 0
    result = ganzoo_cli("train", "./mygan.py:Other", "--resume", "run", "--steps", 3)
    assert result.code == 2
    assert "--resume cannot make a ./mygan.py:Other of this run: it is a mygan." in result.err
