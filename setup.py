"""Builds the native extension where it can; everything else is in pyproject.toml.

The sources are in csrc/ and go into the wheel, too. Without torch or a compiler in the build environment, as in pip's
isolated builds, the pure Python package is built and the kernels are compiled on first use; `ganzoo doctor` tells.
"""

import runpy
import shutil
import sys
from pathlib import Path
from types import ModuleType

from setuptools import setup
from setuptools.command.build_py import build_py

CSRC = Path("csrc")
RECIPE = runpy.run_path("ganzoo/ops/recipe.py")
CUDA = runpy.run_path("ganzoo/ops/cuda_recipe.py")


class BuildWithSources(build_py):
    """Puts csrc/ into the package, for the compilation on first use; an editable install finds it where it is."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(CSRC, Path(self.build_lib) / "ganzoo" / "csrc", dirs_exist_ok=True)


def build_cuda(torch: ModuleType, package: Path) -> None:
    """Builds ganzoo/_cuda.so for a torch with CUDA where there is a toolkit, and says why not where there is none."""
    try:
        cards = [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]
        home = Path(torch.__file__).parent
        objects = CUDA["compile_objects"](CSRC, Path("build") / "cuda", CUDA["architectures"](cards), home)
        CUDA["link"](objects, package / "_cuda.so", home)
    except (CUDA["CudaBuildError"], OSError) as reason:
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
        """A missing or failing compiler must not stop the installation."""

        def run(self) -> None:
            super().run()
            if torch.version.cuda is not None:
                in_place = self.inplace or self.editable_mode
                build_cuda(torch, Path("ganzoo") if in_place else Path(self.build_lib) / "ganzoo")

        def build_extensions(self) -> None:
            try:
                super().build_extensions()
            except Exception as reason:  # a compiler fails in many ways; none may stop the install
                print(f"ganzoo: the native kernels were not built: {reason}", file=sys.stderr)

    flags = [*RECIPE["COMPILE"], RECIPE["definition"](CSRC)]
    sources = [str(path) for path in RECIPE["sources"](CSRC)]
    native = CppExtension("ganzoo._C", sources, extra_compile_args=flags, py_limited_api=True, optional=True)
    return {
        "ext_modules": [native],
        "cmdclass": {"build_ext": OptionalBuild.with_options(use_ninja=True), "build_py": BuildWithSources},
        "options": {"bdist_wheel": {"py_limited_api": "cp310"}},
    }


setup(**({"cmdclass": {"build_py": BuildWithSources}} | extension()))
