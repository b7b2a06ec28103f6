"""The parts of `make gpu` that run without a GPU."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import gpu


def test_a_stage_that_takes_too_long_ends_with_everything_it_started(tmp_path: Path) -> None:
    start = time.monotonic()
    code, output = gpu.run(["sh", "-c", f"echo begun; (sleep 20; touch {tmp_path}/late) & sleep 20"], 0.5)
    assert (code, output) == (124, "begun\n")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("code", "output", "passed", "verdict"),
    [
        (0, "========= ERROR SUMMARY: 0 errors\n", True, "found nothing"),
        (2, "========= ERROR SUMMARY: 3 errors\n", False, "FOUND ERRORS"),
        (2, "========= RACECHECK SUMMARY: 1 hazard displayed\n", False, "FOUND ERRORS"),
        (2, "make: compute-sanitizer: No such file or directory\n", True, "ended with 2"),
        (2, "========= Error: Device not supported\n========= ERROR SUMMARY: 1 error\n", True, "ended with 2"),
        (124, "", True, "not finished: out of time"),
    ],
)
def test_the_sanitizers_result_is_reported(
    code: int, output: str, passed: bool, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "run", lambda *arguments: (code, output))
    monkeypatch.setattr(gpu, "compiling", lambda: ["make"])
    results = gpu.Results(tmp_path, "NVIDIA Example 1")
    assert gpu.sanitize(results, time.time()) is passed
    (file,) = tmp_path.iterdir()
    assert file.name.endswith("-nvidia-example-1.md")
    assert file.read_text().count(verdict) == 2


def test_the_kernels_are_compiled_for_the_gpu_with_the_packages_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = tmp_path / "bin" / "nvcc"
    nvcc.parent.mkdir()
    nvcc.write_text("#!/bin/sh\necho release 13.0")
    nvcc.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    dry_run = [*gpu.compiling("-n", "-B"), "cuda-kernels"]
    output = subprocess.run(dry_run, cwd=gpu.HERE, capture_output=True, text=True).stdout
    commands = [line for line in output.splitlines() if "-o build/" in line]
    assert any("tests/csrc/cuda.cpp" in line for line in commands)
    for line in commands:
        target = "-DGANZOO_SM90A -gencode=arch=compute_90a,code=sm_90a" if "/hopper.cu -o" in line else "-arch=sm_90"
        assert line.startswith(f"{nvcc} -std=c++17 -lineinfo {target} ")


def test_make_gpu_without_a_gpu_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--results", str(tmp_path)]
    environment = {"CUDA_VISIBLE_DEVICES": "", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=gpu.HERE, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(("There is no GPU here", "Missing: "))
    assert not list(tmp_path.iterdir())
