"""Finding and building the CUDA kernels with a fake compiler, and the reasons given if they are not built."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import cuda_check
from ganzoo.ops import build_config, cuda_library, library
from ganzoo.ops.build_config import CUDA, BuildError
from ganzoo.ops.cuda_library import LIBRARY

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
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    monkeypatch.setattr(LIBRARY, "ahead_of_time", lambda: None)
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    return tmp_path


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that these are the GPUs here."""

    def pretend(*capabilities: tuple[int, int]) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90", "sm_120"])

    return pretend


def toolkit(home: Path, fails: bool = False) -> Path:
    """A toolkit in `home`; returns the log with the arguments of its compiler."""
    path = home / "toolkit" / "bin" / "nvcc"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NVCC.format(python=sys.executable, log=str(home / "log"), fails=fails))
    path.chmod(0o755)
    return home / "log"


@pytest.mark.parametrize(
    ("listed", "present", "expected"),
    [
        ("", [], ["8.0", "9.0+PTX"]),
        ("", [(9, 0), (8, 6), (9, 0)], ["8.6", "9.0+PTX"]),
        ("", [(7, 5), (8, 9)], ["8.9+PTX"]),
        ("7.5;8.6 9.0+PTX", [(8, 6)], ["8.6", "9.0+PTX"]),
        ("12.0 9.0 10.0a", [], ["9.0", "10.0a", "12.0"]),
        ("Ampere;Hopper 8.0", [], ["8.0", "8.6+PTX", "9.0+PTX"]),
    ],
)
def test_architectures(
    listed: str,
    present: list[tuple[int, int]],
    expected: list[str],
    gpus: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus(*present)
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", listed)
    assert build_config.architectures() == expected


@pytest.mark.parametrize(
    ("listed", "present", "message"),
    [
        ("hopper", [], r"TORCH_CUDA_ARCH_LIST=hopper: .*\(hopper\).*; write 9.0, 9.0\+PTX or Hopper, for example"),
        ("7.0 7.5", [], "has nothing from compute capability 8.0 on: 7.0 7.5"),
        ("", [(7, 5)], "older than compute capability 8.0"),
        ("8.0 10.0+PTX", [(9, 0), (7, 5)], r"is 8.0 10.0\+PTX, which leaves out the 9.0 here"),
    ],
)
def test_architectures_that_are_refused(
    listed: str,
    present: list[tuple[int, int]],
    message: str,
    gpus: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus(*present)
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", listed)
    with pytest.raises(BuildError, match=message):
        build_config.architectures()


def test_flags_of_machine_code_and_ptx() -> None:
    assert build_config.code_flags(["8.0", "9.0+PTX", "10.0a"]) == [
        "-gencode=arch=compute_80,code=sm_80",
        "-gencode=arch=compute_90,code=sm_90",
        "-gencode=arch=compute_90,code=compute_90",
        "-gencode=arch=compute_100a,code=sm_100a",
    ]


@pytest.mark.parametrize("names", [["8.0", "9.0+PTX"], ["9.0"], ["9.0a"]])
def test_the_kernels_for_hopper_are_compiled_for_its_own_instructions(names: list[str]) -> None:
    expected = ["-gencode=arch=compute_90a,code=sm_90a", "-DGANZOO_SM90A"]
    assert build_config.flags_of_source(Path("hopper.cu"), names) == expected
    assert build_config.flags_of_source(Path("convolution.cu"), names) == build_config.code_flags(names)


def test_the_kernels_for_hopper_are_left_out_for_other_gpus() -> None:
    names = ["8.0+PTX", "10.0a"]
    assert build_config.flags_of_source(Path("hopper.cu"), names) == build_config.code_flags(names)


def test_every_source_is_compiled_once_and_kept_and_the_report_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = toolkit(home)
    target = LIBRARY.compile_on_first_use()
    assert target.read_text() == "an object"
    compiled = log.read_text()
    names = [path.name for path in CUDA.sources(Path("csrc"))]
    assert {"convolution.cpp", "convolution.cu", "exports.cpp"} <= set(names)
    assert len(set(names)) == len(names)  # objects are called after them
    assert all(f"/{name} -o" in compiled for name in names)
    assert compiled.count("\n") == len(names) + 1  # and linked
    assert LIBRARY.compile_on_first_use() == target
    assert log.read_text() == compiled
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "9.0")
    cuda_check.main("csrc", str(home / "build"))
    (row,) = (home / "build" / "registers.csv").read_text().splitlines()[1:]
    assert row.endswith(",sm_90,40,8,4")


def test_reasons_for_missing_kernels(home: Path, gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIBRARY.find().status == f"CUDA_HOME={home / 'toolkit'} has no bin/nvcc"
    toolkit(home, fails=True)
    assert LIBRARY.find().status == "nvcc failed: ops.cpp(3): error: no such thing"
    gpus((7, 0), (7, 5))
    assert LIBRARY.find().status == "the GPUs here are older than compute capability 8.0"
    gpus((9, 0), (7, 5))  # the second is refused when it is used
    assert LIBRARY.find().status == "nvcc failed: ops.cpp(3): error: no such thing"
    monkeypatch.setattr(torch.version, "cuda", None)
    assert LIBRARY.find().status == "this torch is not built for CUDA"


@pytest.mark.parametrize(
    ("names", "runs", "does_not"),
    [
        ("8.0", [(8, 0), (8, 9)], [(9, 0), (12, 0)]),
        ("8.6 9.0+PTX", [(8, 9), (9, 0), (12, 1)], [(8, 0)]),
        ("9.0a+PTX", [(9, 0)], [(8, 0), (10, 0)]),
        ("10.0+PTX", [(10, 0), (12, 0)], [(9, 0)]),
    ],
)
def test_gpus_that_code_runs_on(names: str, runs: list[tuple[int, int]], does_not: list[tuple[int, int]]) -> None:
    assert all(build_config.runs_on(names.split(), card) for card in runs)
    assert not any(build_config.runs_on(names.split(), card) for card in does_not)


def test_kernels_built_for_another_gpu_are_not_loaded(
    home: Path, gpus: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "_cuda.so"
    path.write_bytes(b"\0\1" + f"{CUDA.digest(Path('csrc'))} for 8.0 8.6;".encode() + b"\0")
    monkeypatch.setattr(LIBRARY, "ahead_of_time", lambda: path)
    gpus((8, 0), (9, 0))
    built = "the CUDA kernels built at installation are"
    missing = f"CUDA_HOME={home / 'toolkit'} has no bin/nvcc"
    assert LIBRARY.find().status == f"{built} not for all GPUs here, but for 8.0 8.6; {missing}"
    monkeypatch.setattr(type(CUDA), "digest", lambda self, csrc: "0" * 64)
    assert LIBRARY.find().status == f"{built} from other sources; {missing}"


def test_a_gpu_that_is_too_old_is_refused_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_library, "_capability_of_gpu", [(9, 0), (7, 5)].__getitem__)
    assert cuda_library._capability("cuda", 1) == (7, 5)
    assert cuda_library._capability("cpu", None) == build_config.OLDEST_GPU


def test_description_for_doctor(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Binary:
        def ganzoo_cuda_toolkit(self) -> int:
            return 13040

        def ganzoo_cuda_architectures(self) -> bytes:
            return b"8.0 9.0+PTX"

    loaded = library.Loaded(Binary(), Path("somewhere.so"), "built at installation")  # type: ignore[arg-type]
    monkeypatch.setattr(LIBRARY, "loaded", loaded)
    expected = "for 8.0 9.0+PTX, built at installation (somewhere.so); built by CUDA 13.4, torch by 13.0"
    assert cuda_library.describe().startswith(expected)
    missing = library.Loaded(None, None, "there is no nvcc (the CUDA toolkit)")
    monkeypatch.setattr(LIBRARY, "loaded", missing)
    assert cuda_library.describe() == "none: there is no nvcc (the CUDA toolkit)"
