"""How the native kernels are built: read by setup.py (ahead of time) and by `ganzoo.ops.build` (on first use).

Imports neither torch nor ganzoo: setup.py runs this file where neither is installed.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

# One binary for every torch from 2.10 on (the stable ABI's version), and for every processor: no -march here, each
# instruction set is compiled by its own source file. Contraction is what makes multiply-adds of a * b + c.
COMPILE = (
    "-std=c++17", "-O3", "-g0", "-fPIC", "-ffp-contract=fast", "-fvisibility=hidden", "-Wno-psabi",
    "-DTORCH_TARGET_VERSION=0x020a000000000000",
)  # fmt: skip
LINK = ("-shared", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)
LIBRARIES = ("torch_cpu", "torch", "c10")


def source_folder() -> Path | None:
    """Where the C++ sources are: inside an installed package, or beside it in a clone; None where they are missing."""
    package = Path(__file__).resolve().parents[1]
    return next(
        (folder for folder in (package / "csrc", package.parent / "csrc") if (folder / "ops.cpp").exists()), None
    )


def sources(folder: Path) -> list[Path]:
    """What is compiled, in a fixed order."""
    return sorted(path for path in folder.rglob("*.cpp") if path.parent.name != "cuda")


def digest(folder: Path) -> str:
    """The sha256 of everything a build reads except compiler and torch: sources, headers, flags."""
    sha = hashlib.sha256(repr((COMPILE, LINK, LIBRARIES)).encode())
    read = (p for p in folder.rglob("*") if p.suffix in (".cpp", ".h", ".inc") and p.parent.name != "cuda")
    for path in sorted(read):
        sha.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def definition(folder: Path) -> str:
    """The flag that tells a binary which sources it was built from; it is in its bytes."""
    return f'-DGANZOO_SOURCES="{digest(folder)}"'
