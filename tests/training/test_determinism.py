"""What `torch.use_deterministic_algorithms` would set is set, and restored."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from ganzoo.training.determinism import deterministic

VARIABLE = "TORCHINDUCTOR_DETERMINISTIC"


@pytest.mark.parametrize("mode", ["default", "warn", "error"])
@pytest.mark.parametrize("variable", [None, "0"])
def test_settings_are_restored(mode: str, variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(VARIABLE, variable)
    torch.set_deterministic_debug_mode(mode)
    try:
        before = torch.get_deterministic_debug_mode(), torch.get_num_threads()
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert (torch.get_deterministic_debug_mode(), torch.get_num_threads()) == before
        assert os.environ.get(VARIABLE) == variable
    finally:
        torch.set_deterministic_debug_mode("default")


def interrupted() -> None:
    with deterministic("cpu", "fp32", threads=1):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ[VARIABLE] == "1"
        raise KeyboardInterrupt


@pytest.mark.parametrize("when", ["before", "within"])
@pytest.mark.parametrize("wanted", ["0", "1"])
def test_the_compiler_is_told_whenever_it_is_imported_and_gets_its_setting_back(when: str, wanted: str) -> None:
    script = f"""
import torch
from ganzoo.training.determinism import deterministic
if {when!r} == "before":
    import torch._inductor.config as inductor
with deterministic("cpu", "fp32"):
    import torch._inductor.config as inductor
    assert inductor.deterministic
assert inductor.deterministic == ({wanted!r} == "1")
"""
    environment = {**os.environ, VARIABLE: wanted}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
