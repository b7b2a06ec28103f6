"""`make cuda-check`: compile every CUDA source without a GPU, and list the registers and spills of every kernel.

Run as `python -m benchmarks.cuda_check CSRC BUILD`; TORCH_CUDA_ARCH_LIST chooses the architectures.
"""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

from ganzoo.ops.build_config import CUDA, BuildError

HEADER = ("kernel", "architecture", "registers", "bytes of stack", "bytes spilled")


def registers(report: str) -> list[tuple[str, str, int, int, int]]:
    """The columns of `HEADER` for every kernel in nvcc's report."""
    if demangler := shutil.which("c++filt"):
        report = subprocess.run([demangler], input=report, capture_output=True, text=True, check=True).stdout
    name = r"Compiling entry function '(.*)' for '(\w+)'"
    usage = r"(\d+) bytes stack frame, (\d+) bytes spill stores(?s:.*?)Used (\d+)"
    rows = set()
    for kernel, architecture, stack, spilled, count in re.findall(f"{name}(?s:.*?){usage}", report):
        short = re.sub(r"ganzoo::cuda::|\(anonymous namespace\)::|^void ", "", kernel).partition("(")[0]
        rows.add((short, architecture, int(count), int(stack), int(spilled)))
    return sorted(rows)


def main(csrc: str, build: str) -> None:
    """Compile the kernels and their binding, write report.txt and registers.csv to `build`, print the spills."""
    try:
        tools = CUDA.tools()
        CUDA.compile(Path(csrc), Path(build), tools)
    except BuildError as why:
        sys.exit(f"CUDA: {why}.")
    kernels = registers((Path(build) / "report.txt").read_text())
    with (Path(build) / "registers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *kernels])
    spilling = [f"{kernel} on {where}: {spilled} bytes" for kernel, where, _, _, spilled in kernels if spilled]
    print(f"{len(kernels)} CUDA kernels and their binding compiled for {', '.join(tools.architectures)}; "
          f"registers in {build}/registers.csv")  # fmt: skip
    print("Spilling:", "; ".join(spilling) or "none")


if __name__ == "__main__":
    main(*sys.argv[1:])
