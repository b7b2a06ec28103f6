"""Builds the native extension if torch and a compiler are available; everything else is in pyproject.toml.

The sources in csrc/ are part of the wheel. Without torch or a compiler in the build environment, as in pip's isolated
builds, only the Python package is built, and the kernels are compiled on first use. `ganzoo doctor` shows which of the
two applies.
"""

import runpy
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CSRC = Path("csrc")
CONFIG = runpy.run_path("ganzoo/ops/build_config.py")
CPU, CUDA = CONFIG["CPU"], CONFIG["CUDA"]


class BuildWithSources(build_py):
    """Copies csrc/ into the package, for the compilation on first use; an editable install reads it in place."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(CSRC, Path(self.build_lib) / "ganzoo" / "csrc", dirs_exist_ok=True)


def build_cuda(package: Path) -> None:
    """Build ganzoo/_cuda.so if there is a CUDA toolkit, else print why not."""
    try:
        CUDA.build(CSRC, Path("build") / "cuda", package / "_cuda.so", CUDA.tools())
    except (CONFIG["BuildError"], OSError) as reason:
        print(f"ganzoo: the CUDA kernels were not built: {reason}", file=sys.stderr)


def extension() -> dict:
    try:
        import torch
        from torch.utils.cpp_extension import BuildExtension, CppExtension
    except ImportError as reason:
        print(
            f"ganzoo: building without the native kernels ({reason}); they are compiled on first use.", file=sys.stderr
        )
        return {}

    class OptionalBuild(BuildExtension):
        """Continues the installation without the extension if the compiler is missing or fails."""

        def run(self) -> None:
            super().run()
            if torch.version.cuda is not None:
                in_place = self.inplace or self.editable_mode
                build_cuda(Path("ganzoo") if in_place else Path(self.build_lib) / "ganzoo")

        def build_extensions(self) -> None:
            try:
                super().build_extensions()
            except Exception as reason:  # compilers fail in many ways; none may stop the installation
                print(f"ganzoo: the native kernels were not built: {reason}", file=sys.stderr)

    native = CppExtension(
        f"ganzoo.{CPU.name}",
        [str(path) for path in CPU.sources(CSRC)],
        extra_compile_args=CPU.flags(CSRC),
        py_limited_api=True,
        optional=True,
    )
    return {
        "ext_modules": [native],
        "cmdclass": {"build_ext": OptionalBuild.with_options(use_ninja=True), "build_py": BuildWithSources},
        "options": {"bdist_wheel": {"py_limited_api": "cp310"}},
    }


setup(**({"cmdclass": {"build_py": BuildWithSources}} | extension()))
