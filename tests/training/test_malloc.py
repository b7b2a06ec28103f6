"""Memory that a training step frees is there for the next one, and goes back to the system after the training."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
LARGE_PAGES = 150
"""Faults of ten blocks of 40 MiB in pages of 2 MiB, and some less; in pages of 4 KiB they are 100,000."""
SCRIPT = """
import json, resource
import torch
from ganzoo.training.malloc import freed_memory_kept

BLOCK = 40 << 20  # above what malloc keeps by default

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(BLOCK // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

before = faults()
with freed_memory_kept():
    faults()
    within, kept = faults(), resident()
print(json.dumps({"before": before, "within": within, "after": faults(), "returned": kept - resident()}))
"""


def measured(**environment: str) -> dict[str, int]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=plain | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_freed_memory_is_used_again_and_returned_at_the_end() -> None:
    found = measured()
    assert min(found["before"], found["after"]) >= LARGE_PAGES
    assert found["within"] < LARGE_PAGES / 10
    assert found["returned"] > 32 << 20


@pytest.mark.parametrize("variable", ["MALLOC_TOP_PAD_=0", "GLIBC_TUNABLES=glibc.malloc.mmap_threshold=1048576"])
def test_thresholds_that_the_environment_chooses_are_left_alone(variable: str) -> None:
    name, _, value = variable.partition("=")
    found = measured(**{name: value})
    assert found["within"] >= LARGE_PAGES
