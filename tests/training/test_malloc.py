"""Memory that is freed during a training is used again, and returned to the system afterwards."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
LARGE_PAGES = 150
"""Faults of ten blocks of 40 MiB in pages of 2 MiB, and some less; in pages of 4 KiB they are 100,000."""
SCRIPT = """
import json, resource, sys
import ganzoo, torch

BLOCK = 40 << 20  # above what malloc keeps by default

def faults():
    torch.ones(BLOCK // 4)  # where the heap has been divided since, it grows by a block
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(BLOCK // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

class Measured(ganzoo.Callback):
    def on_step(self, step, seconds):
        self.faults, self.resident = faults(), resident()

callback, before = Measured(), faults()
settings = {"generator_widths": (8,), "discriminator_widths": (8,)}
ganzoo.train("vanilla", dataset="digits", steps=2, settings=settings, callbacks=[callback], out=sys.argv[1])
returned = callback.resident - resident()
print(json.dumps({"before": before, "within": callback.faults, "after": faults(), "returned": returned}))
"""


def measured(out: Path, **environment: str) -> dict[str, int]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", SCRIPT, str(out)]
    done = subprocess.run(command, env=plain | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("environment", [{}, {"MALLOC_ARENA_MAX": "2"}], ids=["plain", "without a threshold"])
def test_freed_memory_is_used_again_and_returned_at_the_end(environment: dict[str, str], tmp_path: Path) -> None:
    found = measured(tmp_path / "run", **environment)
    assert min(found["before"], found["after"]) >= LARGE_PAGES
    assert found["within"] < LARGE_PAGES / 10
    assert found["returned"] > 32 << 20


@pytest.mark.parametrize("variable", ["MALLOC_TOP_PAD_=0", "GLIBC_TUNABLES=glibc.malloc.mmap_threshold=1048576"])
def test_thresholds_that_the_environment_chooses_are_left_alone(variable: str, tmp_path: Path) -> None:
    name, _, value = variable.partition("=")
    found = measured(tmp_path / "run", **{name: value})
    assert found["within"] >= LARGE_PAGES
