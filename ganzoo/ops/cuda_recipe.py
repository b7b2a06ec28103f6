"""How the CUDA kernels are built: read by setup.py, by `ganzoo.ops.cuda` (on first use) and by `make cuda-check`.

Imports neither torch nor ganzoo: setup.py runs this file where ganzoo is not installed. As a program it compiles every
source for the architectures given (`python cuda_recipe.py CSRC BUILD 8.0 9.0+PTX`) and keeps the compiler's report; the
binding, too, where a torch of any kind is installed.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COMPILE = ("-std=c++17", "-O3", "-Xcompiler=-fPIC,-fvisibility=hidden,-Wno-psabi", "-Xptxas=-v")
BINDING = ("-DTORCH_TARGET_VERSION=0x020a000000000000",)  # the stable ABI's version, as in recipe.py
LIBRARIES = ("torch_cpu", "torch_cuda", "torch", "c10")
OLDEST = (8, 0)  # the first GPUs with the instructions the kernels are made of
DEFAULT = "8.0;9.0+PTX"  # where no card says which; the PTX is for what comes later
NAMES = {  # in TORCH_CUDA_ARCH_LIST, as torch reads them; the longer ones first
    "Blackwell+Tegra": "11.0", "Blackwell": "10.0;10.3;12.0;12.1+PTX", "Hopper": "9.0+PTX", "Ada": "8.9+PTX",
    "Ampere+Tegra": "8.7", "Ampere": "8.0;8.6+PTX", "Turing": "7.5+PTX", "Volta": "7.0+PTX",
}  # fmt: skip


class CudaBuildError(Exception):
    """Why the CUDA kernels cannot be built, as a clause."""


def sources(folder: Path) -> list[Path]:
    """What is compiled, in a fixed order; `folder` is csrc."""
    return sorted([*(folder / "cuda").glob("*.cu"), folder / "cuda" / "ops.cpp"])


def digest(folder: Path) -> str:
    """The sha256 of everything a build reads except compiler, torch and architectures."""
    sha = hashlib.sha256(repr((COMPILE, BINDING, LIBRARIES)).encode())
    for path in sorted(p for p in (folder / "cuda").iterdir() if p.suffix in (".cu", ".cuh", ".h", ".cpp")):
        sha.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def toolkit() -> tuple[Path, str]:
    """The CUDA compiler, from CUDA_HOME, the PATH or its usual place, and its version such as "13.0"."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    places = [Path(home) / "bin"] if home else [*map(Path, os.get_exec_path()), Path("/usr/local/cuda/bin")]
    found = next((place / "nvcc" for place in places if (place / "nvcc").is_file()), None)
    if found is None:
        raise CudaBuildError(f"CUDA_HOME={home} has no bin/nvcc" if home else "there is no nvcc (the CUDA toolkit)")
    try:
        told = subprocess.run([str(found), "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as why:
        raise CudaBuildError(f"{found} does not run ({why})") from why
    version = re.search(r"release (\d+\.\d+)", told)
    return found, version.group(1) if version else "unknown"


def architectures(cards: Iterable[tuple[int, int]] = ()) -> list[str]:
    """Compute capabilities to build for, such as ["8.0", "9.0+PTX"]: of TORCH_CUDA_ARCH_LIST, else of the cards, else
    `DEFAULT`. Raises CudaBuildError for what the kernels cannot run on."""
    text = os.environ.get("TORCH_CUDA_ARCH_LIST", "")
    for name, meant in NAMES.items():
        text = text.replace(name, meant)
    listed = list(dict.fromkeys(text.replace(";", " ").split()))
    present = sorted({card for card in cards if card >= OLDEST})
    if not listed and not present and list(cards):
        raise CudaBuildError("the GPUs here are older than compute capability 8.0")
    chosen = listed or [f"{major}.{minor}" for major, minor in present] or DEFAULT.split(";")
    for name in chosen:
        known = re.fullmatch(r"(\d+)\.(\d)[af]?(\+PTX)?", name)
        if known is None:
            raise CudaBuildError(f"TORCH_CUDA_ARCH_LIST has {name!r}, expected the like of 9.0, 9.0+PTX or Hopper")
    fit = [name for name in chosen if tuple(map(int, re.findall(r"\d+", name)))[:2] >= OLDEST]
    if not fit:
        raise CudaBuildError(f"TORCH_CUDA_ARCH_LIST has nothing from compute capability 8.0 on: {' '.join(chosen)}")
    return fit


def runs_on(names: Iterable[str], card: tuple[int, int]) -> bool:
    """Whether what was built for the architectures `names` runs on a GPU of compute capability `card`.

    Machine code runs on later minor versions of its own major one, PTX on all that is later; of an architecture with an
    "a" both run on that one only, with an "f" on its major version.
    """
    for name in names:
        number = name.removesuffix("+PTX")
        oldest = tuple(map(int, re.findall(r"\d+", number)))
        same = card == oldest if number.endswith("a") else card[0] == oldest[0] and card >= oldest
        if same or (name.endswith("+PTX") and number[-1].isdigit() and card >= oldest):
            return True
    return False


def architectures_of(binary: bytes, folder: Path | None) -> list[str] | None:
    """What a shared object was built for; None where that was from other sources than those in `folder`."""
    sources_digest = digest(folder) if folder else "[0-9a-f]{64}"
    found = re.search(rf"{sources_digest} for ([0-9.af+PTX ]+);".encode(), binary)
    return found.group(1).decode().split() if found else None


def code_flags(names: Sequence[str]) -> list[str]:
    """What tells nvcc to build for the architectures `names`: machine code, and PTX where it says so."""
    flags = []
    for name in names:
        number = name.removesuffix("+PTX").replace(".", "")
        kinds = [f"sm_{number}"] + ([f"compute_{number}"] if name.endswith("+PTX") else [])
        flags += [f"-gencode=arch=compute_{number},code={kind}" for kind in kinds]
    return flags


def compile_objects(
    folder: Path, build: Path, names: Sequence[str], torch_home: Path | None = None, jobs: int | None = None
) -> list[Path]:
    """Compile everything into `build`, several files at a time, and write the compiler's report to report.txt there.

    Without `torch_home`, the folder of an installed torch, the binding is left out. Raises CudaBuildError.
    """
    nvcc, _ = toolkit()
    build.mkdir(parents=True, exist_ok=True)
    told = (
        f'-DGANZOO_SOURCES="{digest(folder)} for {" ".join(names)};"',
        f'-DGANZOO_ARCHITECTURES="{" ".join(names)}"',
    )

    def compiled(source: Path) -> tuple[Path, str]:
        target = build / f"{source.name}.o"
        extra: list[str] = []
        if source.suffix == ".cpp":
            extra = [*BINDING, *told, f"-I{torch_home}/include"]
        command = [str(nvcc), *COMPILE, *code_flags(names), *extra, "-c", str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise CudaBuildError(f"nvcc failed: {lines[0] if lines else f'exit code {done.returncode}'}")
        return target, f"# {source.name}\n{done.stderr}"

    wanted = [source for source in sources(folder) if torch_home is not None or source.suffix == ".cu"]
    with ThreadPoolExecutor(jobs or min(len(wanted), os.cpu_count() or 1)) as pool:
        results = list(pool.map(compiled, wanted))
    (build / "report.txt").write_text("".join(report for _, report in results))
    return [target for target, _ in results]


def link(objects: Sequence[Path], target: Path, torch_home: Path) -> None:
    """Make the shared object `target`; it appears complete or not at all."""
    nvcc, _ = toolkit()
    scratch = target.with_name(f".{target.name}-{os.getpid()}")
    command = [str(nvcc), "-shared", "-cudart=static", *map(str, objects), "-o", str(scratch), f"-L{torch_home}/lib"]
    done = subprocess.run([*command, *(f"-l{name}" for name in LIBRARIES)], capture_output=True, text=True)
    if done.returncode:
        scratch.unlink(missing_ok=True)
        raise CudaBuildError(f"linking failed: {(done.stderr.splitlines() or ['no reason given'])[0]}")
    os.replace(scratch, target)


def registers(report: str) -> list[tuple[str, str, int, int, int]]:
    """(kernel, architecture, registers, bytes of stack, bytes spilled) of every kernel in a compiler's report."""
    if demangler := shutil.which("c++filt"):
        report = subprocess.run([demangler], input=report, capture_output=True, text=True, check=True).stdout
    name = r"Compiling entry function '(.*)' for '(\w+)'"
    used = r"(\d+) bytes stack frame, (\d+) bytes spill stores(?s:.*?)Used (\d+)"
    found = set()
    for kernel, architecture, stack, spilled, count in re.findall(f"{name}(?s:.*?){used}", report):
        short = re.sub(r"ganzoo::cuda::|\(anonymous namespace\)::|^void ", "", kernel).partition("(")[0]
        found.add((short, architecture, int(count), int(stack), int(spilled)))
    return sorted(found)


def main(folder: str, build: str, *names: str) -> None:
    """Compile the kernels, keep the report in `build`, and print what stands out in it."""
    torch = importlib.util.find_spec("torch")
    home = Path(torch.origin).parent if torch and torch.origin else None
    try:
        compile_objects(Path(folder), Path(build), names, home)
    except CudaBuildError as why:
        sys.exit(f"CUDA: {why}.")
    kernels = registers((Path(build) / "report.txt").read_text())
    header = ("kernel", "architecture", "registers", "bytes of stack", "bytes spilled")
    with (Path(build) / "registers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *kernels])
    spilling = [f"{kernel} on {where}: {spilled} bytes" for kernel, where, _, _, spilled in kernels if spilled]
    what = f"{len(kernels)} CUDA kernels {'and their binding ' if home else ''}compiled for {', '.join(names)}"
    print(f"{what}; registers in {build}/registers.csv")
    print("Spilling:", "; ".join(spilling) or "none")


if __name__ == "__main__":
    main(*sys.argv[1:])
