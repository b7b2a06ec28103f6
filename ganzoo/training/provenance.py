"""Versions, command line and machine of a training, so that anyone can repeat it."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ganzoo.core import distributed
from ganzoo.core.plugin_file import DISTRIBUTION
from ganzoo.core.registry import OWN_DISTRIBUTION, Entry
from ganzoo.core.version import __version__
from ganzoo.ops import cpu_library
from ganzoo.ops.backend import resolve


def provenance(entry: Entry, plugins: Mapping[str, str]) -> dict[str, Any]:
    """Versions, kernels, git revision of the working directory, threads and command line of this process.

    `plugins` are the packages of its loss and penalty, if these are not built in.
    """
    packages = {"torch", "numpy", entry.distribution, *plugins.values()} - {OWN_DISTRIBUTION, DISTRIBUTION}
    return {
        "threads": torch.get_num_threads(),
        "ranks": distributed.size(),
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {"python": platform.python_version(), "ganzoo": __version__}
        | {name: importlib.metadata.version(name) for name in sorted(packages)}
        | {"torch": torch.__version__}  # with the suffix of its build, such as +cpu
        | {"kernels": cpu_library.instruction_set() or "none", "backend": resolve("auto")},
        "platform": platform.platform(),
        "git": _git_revision(),
    } | ({"plugins": dict(plugins)} if plugins else {})


def _git_revision() -> str | None:
    try:
        result = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
