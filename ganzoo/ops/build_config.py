"""How the two binaries are built: `_C` for the CPU and `_cuda` for NVIDIA GPUs.

Read by setup.py (ahead of time) and by `ganzoo.ops.library` (on first use). Imports neither torch nor ganzoo at the
top: setup.py runs this file in environments that have neither.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

# One binary for every torch from 2.10 on: this is the version of the stable ABI.
STABLE_ABI = "-DTORCH_TARGET_VERSION=0x020a000000000000"
OLDEST_GPU = (8, 0)  # the first compute capability with the instructions that the kernels use
DEFAULT_ARCHITECTURES = ("8.0", "9.0+PTX")  # without a GPU to ask; PTX runs on later GPUs
HOPPER_SOURCE = "hopper.cu"  # without kernels unless it is compiled for Hopper


class BuildError(Exception):
    """Why a binary cannot be built here, as a clause."""


class Tools(NamedTuple):
    """A compiler and everything about it that decides whether a cached binary can be used."""

    command: tuple[str, ...]
    version: str
    architectures: tuple[str, ...] = ()


class CpuRecipe:
    """Builds csrc/cpu and csrc/torch/cpu by GCC or Clang."""

    name, title, language = "_C", "the native kernels", "C++"
    folders: tuple[str, ...] = ("cpu", "torch/cpu")
    suffixes: tuple[str, ...] = (".cpp", ".h")
    # No -march: each instruction set is compiled by a source file of its own, so one binary runs on every processor.
    # Contraction makes multiply-adds of a * b + c.
    compile_flags: tuple[str, ...] = (
        "-std=c++17", "-O3", "-g0", "-fPIC", "-ffp-contract=fast", "-fvisibility=hidden", "-Wno-psabi", STABLE_ABI,
    )  # fmt: skip
    link_flags: tuple[str, ...] = ("-shared", *(("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ()))
    libraries: tuple[str, ...] = ("torch_cpu", "torch", "c10")

    def sources(self, csrc: Path) -> list[Path]:
        """The files to compile, in a fixed order."""
        return [path for path in self._files(csrc) if path.suffix == ".cpp"]

    def digest(self, csrc: Path) -> str:
        """The sha256 of everything a build reads except compiler and torch: sources, headers, flags."""
        sha = hashlib.sha256(repr((self.compile_flags, self.link_flags, self.libraries)).encode())
        for path in self._files(csrc):
            sha.update(path.relative_to(csrc).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        return sha.hexdigest()

    def flags(self, csrc: Path) -> list[str]:
        """Compiler flags, among them the digest of the sources, which the binary carries."""
        return [*self.compile_flags, f'-DGANZOO_SOURCES="{self.digest(csrc)}"']

    def mismatch(self, binary: bytes, csrc: Path | None) -> str | None:
        """Why a binary built ahead of time cannot be used, as the end of a sentence; None if it can."""
        return None if csrc is None or self.digest(csrc).encode() in binary else "are from other sources"

    def tools(self) -> Tools:
        """The C++ compiler: CXX, else the first of the usual names. Raises BuildError."""
        if sys.platform == "win32":
            raise BuildError("the kernels are built by GCC or Clang, on Linux and macOS")
        cxx = shlex.split(os.environ.get("CXX", ""))
        path = shutil.which(cxx[0]) if cxx else next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
        if path is None:
            raise BuildError(f"the C++ compiler CXX={cxx[0]} does not exist" if cxx else "there is no C++ compiler")
        return Tools((path, *cxx[1:]), _version("the C++ compiler", path, *cxx[1:]))

    def build(self, csrc: Path, scratch: Path, target: Path, tools: Tools) -> None:
        """Compile and link `target`, which appears complete or not at all. Raises BuildError."""
        home = torch_home()
        output = scratch / target.name
        command = [
            *tools.command, *self.flags(csrc), *self.link_flags, f"-I{home / 'include'}",
            *map(str, self.sources(csrc)), "-o", str(output), f"-L{home / 'lib'}",
            *(f"-l{name}" for name in self.libraries),
        ]  # fmt: skip
        _run("the C++ compiler", command)
        os.replace(output, target)

    def _files(self, csrc: Path) -> list[Path]:
        return sorted(p for folder in self.folders for p in (csrc / folder).rglob("*") if p.suffix in self.suffixes)


class CudaRecipe(CpuRecipe):
    """Builds csrc/cuda and csrc/torch/cuda by nvcc, for the architectures of TORCH_CUDA_ARCH_LIST or the GPUs here."""

    name, title, language = "_cuda", "the CUDA kernels", "CUDA"
    folders, suffixes = ("cuda", "torch/cuda"), (".cu", ".cuh", ".cpp", ".h")
    # USE_CUDA declares the stream of torch's C API
    compile_flags = (
        "-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden,-Wno-psabi", "-Xptxas=-v", STABLE_ABI, "-DUSE_CUDA",
    )  # fmt: skip
    link_flags = ("-shared", "-cudart=static")
    libraries = ("torch_cpu", "torch_cuda", "torch", "c10")

    def sources(self, csrc: Path) -> list[Path]:
        return [path for path in self._files(csrc) if path.suffix in (".cu", ".cpp")]

    def mismatch(self, binary: bytes, csrc: Path | None) -> str | None:
        digest = self.digest(csrc) if csrc else "[0-9a-f]{64}"
        match = re.search(rf"{digest} for ([0-9.a+PTX ]+);".encode(), binary)
        if match is None:
            return "are from other sources"
        names = match.group(1).decode().split()
        if all(runs_on(names, gpu) for gpu in gpus() if gpu >= OLDEST_GPU):
            return None
        return f"are not for all GPUs here, but for {' '.join(names)}"

    def tools(self) -> Tools:
        """nvcc, from where torch looks for the toolkit (CUDA_HOME, PATH, /usr/local/cuda). Raises BuildError."""
        nvcc = _nvcc()
        release = re.search(r"release (\d+\.\d+)", _version("nvcc", str(nvcc)))
        return Tools((str(nvcc),), release.group(1) if release else "unknown", tuple(architectures()))

    def build(self, csrc: Path, scratch: Path, target: Path, tools: Tools) -> None:
        objects = self.compile(csrc, scratch, tools)
        output = target.with_name(f".{target.name}-{os.getpid()}")
        command = [*tools.command, *self.link_flags, *map(str, objects), "-o", str(output), f"-L{torch_home()}/lib"]
        try:
            _run("linking", [*command, *(f"-l{name}" for name in self.libraries)])
            os.replace(output, target)
        finally:
            output.unlink(missing_ok=True)

    def compile(self, csrc: Path, build: Path, tools: Tools) -> list[Path]:
        """Compile every source into `build`, several at a time; the compiler's report goes to report.txt there."""
        build.mkdir(parents=True, exist_ok=True)
        names = " ".join(tools.architectures)
        binding = [
            f'-DGANZOO_SOURCES="{self.digest(csrc)} for {names};"',
            f'-DGANZOO_ARCHITECTURES="{names}"',
            f"-I{torch_home()}/include",
        ]

        def compile_one(source: Path) -> tuple[Path, str]:
            output = build / f"{source.name}.o"
            extra = flags_of_source(source, tools.architectures) + (binding if source.suffix == ".cpp" else [])
            report = _run("nvcc", [*tools.command, *self.compile_flags, *extra, "-c", str(source), "-o", str(output)])
            return output, f"# {source.name}\n{report}"

        sources = self.sources(csrc)
        with ThreadPoolExecutor(min(len(sources), os.cpu_count() or 1)) as pool:
            results = list(pool.map(compile_one, sources))
        (build / "report.txt").write_text("".join(report for _, report in results))
        return [output for output, _ in results]


CPU, CUDA = CpuRecipe(), CudaRecipe()


def source_folder() -> Path | None:
    """csrc, inside an installed package or beside it in a clone; None if it is missing."""
    package = Path(__file__).resolve().parents[1]
    return next((csrc for csrc in (package / "csrc", package.parent / "csrc") if (csrc / "torch").is_dir()), None)


def torch_home() -> Path:
    """The folder of the installed torch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise BuildError("torch is not installed")
    return Path(spec.origin).parent


def gpus() -> list[tuple[int, int]]:
    """The compute capabilities of the GPUs here."""
    import torch

    return [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]


def architectures() -> list[str]:
    """Compute capabilities to build for, such as ["8.0", "9.0+PTX"]: those of TORCH_CUDA_ARCH_LIST, else of the GPUs.

    torch reads the variable, as for every extension. Raises BuildError if the kernels run on none of them, or not on a
    GPU here.
    """
    listed, present = os.environ.get("TORCH_CUDA_ARCH_LIST", ""), gpus()
    if not listed and not present:
        return list(DEFAULT_ARCHITECTURES)
    from torch.utils import cpp_extension

    try:
        flags = cpp_extension._get_cuda_arch_flags()
    except ValueError as why:
        raise BuildError(f"TORCH_CUDA_ARCH_LIST={listed}: {why}; write 9.0, 9.0+PTX or Hopper, for example") from why
    ptx: dict[str, bool] = {}
    for kind, major, minor in re.findall(r"code=(sm|compute)_(\d+)(\d[a-z]?)", " ".join(flags)):
        if (int(major), int(minor[0])) >= OLDEST_GPU:
            name = f"{major}.{minor}"
            ptx[name] = ptx.get(name, False) or kind == "compute"
    names = sorted((f"{name}{'+PTX' * with_ptx}" for name, with_ptx in ptx.items()), key=_capability)
    if not names and listed:
        raise BuildError(f"TORCH_CUDA_ARCH_LIST has nothing from compute capability 8.0 on: {listed}")
    if not names:
        raise BuildError("the GPUs here are older than compute capability 8.0")
    for gpu in present:
        if gpu >= OLDEST_GPU and not runs_on(names, gpu):
            raise BuildError(f"TORCH_CUDA_ARCH_LIST is {' '.join(names)}, which leaves out the {gpu[0]}.{gpu[1]} here")
    return names


def runs_on(names: Iterable[str], gpu: tuple[int, int]) -> bool:
    """Whether code built for the architectures `names` runs on a GPU of compute capability `gpu`.

    Machine code runs on later minor versions of its major version, PTX on every later one; code for an architecture
    with an "a" runs on that one only.
    """
    for name in names:
        oldest, exact = _capability(name), "a" in name
        if gpu == oldest if exact else gpu >= oldest and (gpu[0] == oldest[0] or name.endswith("+PTX")):
            return True
    return False


def code_flags(names: Sequence[str]) -> list[str]:
    """nvcc's flags for the architectures `names`: machine code, and PTX where the name asks for it."""
    flags = []
    for name in names:
        number = name.removesuffix("+PTX").replace(".", "")
        kinds = [f"sm_{number}"] + ([f"compute_{number}"] if name.endswith("+PTX") else [])
        flags += [f"-gencode=arch=compute_{number},code={kind}" for kind in kinds]
    return flags


def flags_of_source(source: Path, names: Sequence[str]) -> list[str]:
    """nvcc's flags of architecture for one source: the kernels for Hopper need 9.0a, and are for no other GPU."""
    if source.name == HOPPER_SOURCE and any(_capability(name) == (9, 0) for name in names):
        return [*code_flags(["9.0a"]), "-DGANZOO_SM90A"]
    return code_flags(names)


def _capability(name: str) -> tuple[int, int]:
    major, minor = re.findall(r"\d+", name)
    return int(major), int(minor)


def _nvcc() -> Path:
    from torch.utils import cpp_extension

    home = cpp_extension._find_cuda_home()
    if home is None:
        raise BuildError("there is no nvcc (the CUDA toolkit)")
    nvcc = Path(home) / "bin" / "nvcc"
    if not nvcc.is_file():
        raise BuildError(f"CUDA_HOME={home} has no bin/nvcc")
    return nvcc


def _version(what: str, *command: str) -> str:
    try:
        return subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as why:
        raise BuildError(f"{what} {command[0]} does not run ({why})") from why


def _run(what: str, command: Sequence[str]) -> str:
    """What the command writes to stderr. Raises BuildError with its first error."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise BuildError(f"{what} failed: {lines[0] if lines else f'exit code {done.returncode}'}")
    return done.stderr
