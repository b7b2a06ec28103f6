"""How the CUDA kernels are found and built, by a compiler that only writes files; and why they are not, in words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from ganzoo.ops import build, cuda, cuda_recipe

NVCC = """#!{python}
import pathlib, sys
if "--version" in sys.argv:
    sys.exit(print("Cuda compilation tools, release 13.4, V13.4.1"))
if {fails}:
    sys.exit("ops.cpp(3): error: no such thing")
with open({log!r}, "a") as log:
    print(*sys.argv[1:], file=log)
pathlib.Path(sys.argv[sys.argv.index("-o") + 1]).write_text("an object")
print("ptxas info    : Compiling entry function '_Z4passv' for 'sm_90'", file=sys.stderr)
print("    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads", file=sys.stderr)
print("ptxas info    : Used 40 registers, used 1 barriers", file=sys.stderr)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(build.platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(build, "ahead_of_time", lambda name: None)
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    return tmp_path


def toolkit(home: Path, fails: bool = False) -> Path:
    """A toolkit in `home`; returns the file in which its compiler writes down what it was told."""
    path = home / "toolkit" / "bin" / "nvcc"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NVCC.format(python=sys.executable, log=str(home / "log"), fails=fails))
    path.chmod(0o755)
    return home / "log"


@pytest.mark.parametrize(
    ("listed", "cards", "expected"),
    [
        ("", [], ["8.0", "9.0+PTX"]),
        ("", [(9, 0), (8, 6), (9, 0)], ["8.6", "9.0"]),
        ("", [(7, 5), (8, 9)], ["8.9"]),
        ("7.5;8.6 9.0+PTX", [(8, 0)], ["8.6", "9.0+PTX"]),
        ("10.0a", [], ["10.0a"]),
        ("Ampere;Hopper 8.0", [], ["8.0", "8.6+PTX", "9.0+PTX"]),
    ],
)
def test_architectures(
    listed: str, cards: list[tuple[int, int]], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", listed)
    assert cuda_recipe.architectures(cards) == expected


@pytest.mark.parametrize(
    ("listed", "cards", "message"),
    [
        ("hopper", [], "has 'hopper', expected the like of 9.0, 9.0.PTX or Hopper"),
        ("7.0 7.5", [], "has nothing from compute capability 8.0 on: 7.0 7.5"),
        ("", [(7, 0)], "older than compute capability 8.0"),
    ],
)
def test_architectures_that_cannot_be(
    listed: str, cards: list[tuple[int, int]], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", listed)
    with pytest.raises(cuda_recipe.CudaBuildError, match=message):
        cuda_recipe.architectures(cards)


def test_flags_of_machine_code_and_ptx() -> None:
    assert cuda_recipe.code_flags(["8.0", "9.0+PTX", "10.0a"]) == [
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_90,code=sm_90",
        "-gencode=arch=compute_90,code=compute_90",
        "-gencode=arch=compute_100a,code=sm_100a",
    ]


def test_every_source_is_compiled_once_and_kept_and_the_report_is_read(home: Path) -> None:
    log = toolkit(home)
    target = cuda._on_first_use()
    assert target.read_text() == "an object"
    compiled = log.read_text()
    names = {path.name for path in cuda_recipe.sources(Path("csrc"))}
    assert {"ops.cpp", "convolution.cu", "batch_norm.cu"} <= names
    assert all(f"/{name} -o" in compiled for name in names)
    assert compiled.count("\n") == len(names) + 1  # and linked
    assert cuda._on_first_use() == target
    assert log.read_text() == compiled
    cuda_recipe.compile_objects(Path("csrc"), home / "build", ["9.0"])
    report = (home / "build" / "report.txt").read_text()
    assert {row[1:] for row in cuda_recipe.registers(report)} == {("sm_90", 40, 8, 4)}


def test_why_there_are_no_kernels(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda._load().how == f"CUDA_HOME={home / 'toolkit'} has no bin/nvcc"
    toolkit(home, fails=True)
    assert cuda._load().how == "nvcc failed: ops.cpp(3): error: no such thing"
    monkeypatch.setattr(cuda, "cards", lambda: [(7, 0), (7, 5)])
    assert cuda._load().how == "the GPUs here are older than compute capability 8.0"
    monkeypatch.setattr(cuda, "cards", lambda: [(9, 0), (7, 5)])  # the second is refused where it is used
    assert cuda._load().how == "nvcc failed: ops.cpp(3): error: no such thing"
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0 10.0+PTX")
    assert cuda._load().how == "TORCH_CUDA_ARCH_LIST is 8.0 10.0+PTX, which leaves out the 9.0 here"
    monkeypatch.setattr(torch.version, "cuda", None)
    assert cuda._load().how == "this torch is not built for CUDA"


@pytest.mark.parametrize(
    ("names", "runs", "does_not"),
    [
        ("8.0", [(8, 0), (8, 9)], [(9, 0), (12, 0)]),
        ("8.6 9.0+PTX", [(8, 9), (9, 0), (12, 1)], [(8, 0)]),
        ("9.0a+PTX", [(9, 0)], [(8, 0), (10, 0)]),
        ("10.0f", [(10, 0), (10, 3)], [(12, 0), (9, 0)]),
    ],
)
def test_which_gpus_code_runs_on(names: str, runs: list[tuple[int, int]], does_not: list[tuple[int, int]]) -> None:
    assert all(cuda_recipe.runs_on(names.split(), card) for card in runs)
    assert not any(cuda_recipe.runs_on(names.split(), card) for card in does_not)


def test_kernels_built_for_another_gpu_are_not_loaded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = cuda_recipe.digest(Path("csrc"))
    (home / "_cuda.so").write_bytes(b"\0\1" + f"{digest} for 8.0 8.6;".encode() + b"\0")
    monkeypatch.setattr(build, "ahead_of_time", lambda name: home / f"{name}.so")
    monkeypatch.setattr(cuda, "cards", lambda: [(8, 0), (9, 0)])
    built = "the CUDA kernels built at installation are"
    missing = f"CUDA_HOME={home / 'toolkit'} has no bin/nvcc"
    assert cuda._load().how == f"{built} not for all GPUs here, but for 8.0 8.6; {missing}"
    monkeypatch.setattr(cuda_recipe, "digest", lambda folder: "0" * 64)
    assert cuda._load().how == f"{built} of other sources; {missing}"


def test_a_gpu_that_is_too_old_is_refused_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_card", [(9, 0), (7, 5)].__getitem__)
    assert cuda._capability("cuda", 1) == (7, 5)
    assert cuda._capability("cpu", None) == cuda_recipe.OLDEST


def test_what_doctor_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def ganzoo_cuda_toolkit(self) -> int:
            return 13040

        def ganzoo_cuda_architectures(self) -> bytes:
            return b"8.0 9.0+PTX"

    here = cuda.Loaded(Library(), Path("somewhere.so"), "built at installation")  # type: ignore[arg-type]
    monkeypatch.setattr(cuda, "_loaded", here)
    told = "for 8.0 9.0+PTX, built at installation (somewhere.so); built by CUDA 13.4, torch by 13.0"
    assert cuda.describe().startswith(told)
    monkeypatch.setattr(cuda, "_loaded", cuda.Loaded(None, None, "there is no nvcc (the CUDA toolkit)"))
    assert cuda.describe() == "none: there is no nvcc (the CUDA toolkit)"
