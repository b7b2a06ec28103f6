"""Builds the native extension where it can; everything else is in pyproject.toml.

The sources are in csrc/. Without torch in the build environment, as in pip's isolated builds, the pure Python package
is built and the reference implementation does the work; `ganzoo doctor` says so.
"""

import sys
from pathlib import Path

from setuptools import setup

SOURCES = sorted(str(path) for path in Path("csrc").rglob("*.cpp"))


def extension() -> dict:
    if not SOURCES:
        return {}
    try:
        from torch.utils.cpp_extension import BuildExtension, CppExtension
    except ImportError as reason:
        print(f"ganzoo: building without the native extension ({reason}); install with", file=sys.stderr)
        print("ganzoo: pip install --no-build-isolation where torch is installed to have it.", file=sys.stderr)
        return {}
    return {
        "ext_modules": [CppExtension("ganzoo._C", SOURCES)],
        "cmdclass": {"build_ext": BuildExtension.with_options(use_ninja=True)},
    }


setup(**extension())
