"""Every header of csrc compiles by itself: it includes what it uses, and the order of includes does not matter."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.csrc.conftest import ROOT, compiler

EMULATED = ("-DGANZOO_EMULATE", f"-I{ROOT / 'tests' / 'csrc'}")  # stands in for the CUDA toolkit
HEADERS = {
    "cpu": (sorted((ROOT / "csrc" / "cpu").rglob("*.h")), ()),
    "cuda": ([path for path in sorted((ROOT / "csrc" / "cuda").iterdir()) if path.suffix in (".h", ".cuh")], EMULATED),
}


@pytest.mark.parametrize("folder", HEADERS)
def test_headers_are_complete(folder: str) -> None:
    headers, flags = HEADERS[folder]
    headers = [path for path in headers if "torch/csrc" not in path.read_text()]  # this test needs no torch
    assert headers
    command = [*shlex.split(compiler()), "-std=c++17", "-fsyntax-only", "-w", *flags, "-x", "c++", *map(str, headers)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [path for paths, _ in HEADERS.values() for path in paths], ids=lambda path: path.name)
def test_headers_can_be_included_twice(path: Path) -> None:
    assert "#pragma once" in path.read_text().splitlines()
