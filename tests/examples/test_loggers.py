"""The loggers in examples/: installed, found by name, and their own tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from tests.conftest import EXAMPLES, Command, Site


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_it_is_used_by_name(
    name: str,
    installed: Callable[[str], Site],
    ganzoo_cli: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    installed(f"ganzoo-{name}")
    module = MagicMock()
    module.util.generate_id.return_value = module.start_run.return_value.info.run_id = "abc"
    monkeypatch.setitem(sys.modules, name, module)
    words = ("--dataset", "digits", "--steps", 1, "--set", "batch_size=8", "--logger", name, "--out", tmp_path / "run")
    trained = ganzoo_cli("train", "vanilla", *words)
    assert trained.code == 0, trained.err
    assert module.init.called or module.start_run.called


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_its_own_tests_pass(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        capture_output=True,
        text=True,
        cwd=EXAMPLES / f"ganzoo-{name}",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLES / f"ganzoo-{name}"), str(EXAMPLES.parent)])},
    )
    assert done.returncode == 0, done.stdout + done.stderr
