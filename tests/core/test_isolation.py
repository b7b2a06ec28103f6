"""A plugin that misbehaves on import, fails in training or is uninstalled affects nothing else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable

import pytest

from ganzoo.core import plugin_loading, registry
from tests.conftest import GOOD_ARCHITECTURE, GOOD_DATASET, Command, Site

CHATTY = """
import os, subprocess, sys
print("from print")
sys.__stdout__.write("from the first stdout\\n")
os.write(1, b"from the file descriptor\\n")
subprocess.run([sys.executable, "-c", "print('from a process')"])
"""


@pytest.mark.parametrize("command", ["list", "datasets"])
def test_output_of_a_plugin_on_import_never_reaches_stdout(command: str, site: Site) -> None:
    chatter = CHATTY.replace("\n", "\n    ")
    site.add("chatty", f"{chatter}{GOOD_ARCHITECTURE}", {"chatty": "Good"})
    site.add("chatty-data", f"{chatter}{GOOD_DATASET}", datasets={"chatty_data": "Good"})
    result = site.run(command, "--json")
    assert result.code == 0
    assert {row["status"] for row in json.loads(result.out)} == {"ok"}
    for source in ("print", "the first stdout", "the file descriptor", "a process"):
        assert f"from {source}" in result.err
        assert f"from {source}" not in result.out


def test_a_slow_import_is_named_while_it_lasts_and_its_time_is_in_doctor(
    site: Site,
    install: Callable[[Site], None],
    ganzoo_cli: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site.add("sleepy", f"\n    import time\n    time.sleep(0.4)\n{GOOD_ARCHITECTURE}", {"sleepy": "Good"})
    install(site)
    monkeypatch.setattr(plugin_loading, "SLOW_SECONDS", 0.1)
    registry.architectures()
    assert capsys.readouterr().err == "ganzoo: still importing the plugin sleepy from sleepy 1.0 ...\n"
    match = re.search(r"^sleepy +architecture +sleepy 1.0 +([\d.]+) ms +ok", ganzoo_cli("doctor").out, re.MULTILINE)
    assert match is not None
    assert float(match[1]) >= 400


@pytest.mark.parametrize(
    ("target", "proposal"),
    [
        ("mine", "mine:MyClass"),
        ("mine.MyGAN", "mine:MyGAN"),
        ("my_package.mine.MyGAN", "my_package.mine:MyGAN"),
        ("mine:", "mine:MyClass"),
        ("mine:MyGAN()", "mine:MyClass"),
        ("my-package:MyGAN", "my_package:MyGAN"),
    ],
)
def test_an_entry_point_of_another_form_says_which_form(
    target: str, proposal: str, site: Site, install: Callable[[Site], None], ganzoo_cli: Command
) -> None:
    site.add("mine", GOOD_ARCHITECTURE, {"mine": "Good"})
    points = site.path / "mine-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"[ganzoo.architectures]\nmine = {target}\n")
    install(site)
    result = ganzoo_cli("info", "mine")
    assert result.code == 1
    assert f"its entry point is '{target}', which is not of the form module:object; perhaps {proposal}\n" in result.err
    assert "Traceback" not in result.err


def test_a_run_whose_plugin_was_uninstalled_says_what_to_install(site: Site) -> None:
    code = "from ganzoo_plugins.vanilla import Vanilla\nclass Gone(Vanilla):\n    api_version = 1\n"
    site.add("ganzoo-gone", code, {"gone": "Gone"})
    trained = site.fork("train", "gone", "--dataset", "digits", "--steps", "2", "--out", "run")
    assert trained.code == 0, trained.err
    sampled = site.fork("sample", "run", "--count", "4", "--out", "before.png")
    assert sampled.code == 0, sampled.err
    shutil.rmtree(site.path / "ganzoo_gone-1.0.dist-info")
    for words in (("sample", "run", "--out", "after.png"), ("train", "--resume", "run", "--steps", "3")):
        result = site.fork(*words)
        assert result.code == 1
        assert result.err.count("\n") == 1
        assert "'gone' of the package 'ganzoo-gone', which is not installed" in result.err
        assert "pip install ganzoo-gone" in result.err
    assert not (site.path / "after.png").exists()
    assert site.fork("list").code == 0


@pytest.mark.parametrize("layer", ["nn.Linear(pixels + 1, 1)", "nn.Identity()"])
def test_networks_that_fail_in_training_are_reported_with_the_command_that_checks_them(layer: str, site: Site) -> None:
    code = GOOD_ARCHITECTURE.replace("nn.Linear(pixels, 1)", layer)
    site.add("plugin-wrong", code, {"wrong": "Good"})
    result = site.fork("train", "wrong", "--dataset", "digits", "--steps", "1")
    assert result.code == 1
    assert result.err.startswith("Error: Training wrong failed:\n\nTraceback")
    assert result.err.endswith("To check the architecture, run: ganzoo check wrong\n")


def test_a_build_that_returns_no_gan_says_what_it_returned(site: Site) -> None:
    code = GOOD_ARCHITECTURE.replace("return GAN", "GAN")
    site.add("plugin-none", code, {"nothing": "Good"})
    expected = "build() returns a NoneType, expected ganzoo.GAN(generator, discriminator, config, spec)"
    for words in (("train", "nothing", "--dataset", "digits", "--dry-run"), ("check", "nothing")):
        result = site.fork(*words)
        assert result.code == 1
        assert expected in result.out + result.err
        assert "Traceback" not in result.err
