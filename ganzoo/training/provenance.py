"""Versions, command line and machine of a run, so that anyone can repeat it."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
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


GIT_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "", "GIT_PAGER": "cat"}
GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "diff.ignoreSubmodules=all")
HARMLESS = re.compile(
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol)"
    r"|remote\..*\.(url|pushurl|fetch)|branch\..*\.(remote|merge|rebase)|user\.(name|email)|init\.defaultbranch"
    r"|(pull|push|fetch|gc|color|advice)\..*",
    re.DOTALL,
)
"""Keys of a repository's configuration that run nothing when git compares its files."""


def _git_revision() -> str | None:
    """The revision of the working directory, which may be an archive from anywhere, without running anything from it.

    Comparing files, for the suffix -dirty, runs the filters that a repository configures; so it is done only where the
    configuration is known to be harmless.
    """
    top, keys = _git("rev-parse", "--show-toplevel"), _git("config", "--local", "--list", "--name-only", "--null")
    if not top or keys is None:
        return None
    harmless = all(HARMLESS.fullmatch(key) for key in keys.split("\0") if key)
    compare = harmless and not os.path.lexists(Path(top, ".gitmodules"))
    return _git("describe", "--always", *(["--dirty"] if compare else [])) or None


def _git(*arguments: str) -> str | None:
    """What git writes, or None if it fails. Hooks, monitors and downloads are off."""
    environment = {**os.environ, **GIT_ENVIRONMENT}
    try:
        result = subprocess.run([*GIT, *arguments], capture_output=True, text=True, timeout=5, env=environment)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
