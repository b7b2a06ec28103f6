"""Paths as users give them and as commands are printed; a user without a home directory."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ganzoo.core import paths
from ganzoo.core.errors import UsageError


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert paths.user_path("~/runs/a") == Path("/home/ada/runs/a")
    assert paths.user_path(Path("~/runs/a")) == Path("/home/ada/runs/a")
    assert paths.user_path("./~") == Path("~")


@pytest.mark.parametrize("wrong", [3, None, b"runs", "", "a\0b", ["runs"]])
def test_what_is_no_path_is_named(wrong: Any) -> None:
    with pytest.raises(UsageError, match="is not a directory for a run"):
        paths.user_path(wrong, "a directory for a run")


def test_a_path_is_quoted_where_a_shell_would_split_or_run_it() -> None:
    assert paths.shell_word("runs/cgan-001") == "runs/cgan-001"
    assert paths.shell_word(Path("my runs/a")) == "'my runs/a'"
    assert paths.shell_word("-rf") == "./-rf"
    assert paths.shell_word("a$(rm x)'") == """'a$(rm x)'"'"''"""


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No HOME and no entry in the list of users; the folder for temporary files."""

    def unknown(name: str) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_cache_dir", unknown)
    monkeypatch.setattr("platformdirs.user_data_dir", lambda name: f"~/.local/share/{name}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    paths._temporary.cache_clear()
    return tmp_path


def test_without_a_home_the_cache_is_temporary_and_said_once(homeless: Path, caplog: pytest.LogCaptureFixture) -> None:
    home = homeless / f"ganzoo-{os.getuid()}"
    assert paths.cache_folder() == paths.cache_folder() == home / "cache"
    assert paths.data_folder() == home / "data"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [record.getMessage() for record in caplog.records] == [
        f"This user has no home directory, so ganzoo keeps its cache in {home}."
    ]


def test_a_temporary_cache_that_others_can_write_is_not_used(homeless: Path) -> None:
    home = homeless / f"ganzoo-{os.getuid()}"
    home.mkdir()
    home.chmod(0o777)
    assert paths.cache_folder().parent != home
    assert stat.S_IMODE(paths.cache_folder().parent.stat().st_mode) == 0o700
