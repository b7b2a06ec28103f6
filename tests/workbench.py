"""A virtual environment for packages that tests install; it sees the packages of the running Python."""

from __future__ import annotations

import os
import shlex
import site
import subprocess
import sysconfig
import venv
from pathlib import Path


class Workbench:
    """`pip`, `ganzoo`, `pytest` and `python` in an environment with ganzoo, without a network."""

    def __init__(self, path: Path):
        self.path = path
        self.work = path / "work"
        self.work.mkdir(parents=True)
        venv.create(path / "env", with_pip=False, symlinks=True)
        self.bin = path / "env" / "bin"
        python = self.bin / "python"
        self.packages = packages = Path(sysconfig.get_path("purelib", vars={"base": str(path / "env")}))
        ours = "; ".join(f"site.addsitedir({folder!r})" for folder in site.getsitepackages())
        (packages / "ours.pth").write_text(f"import site; {ours}\n")
        for name, module in (("ganzoo", "ganzoo"), ("pip", "pip"), ("pytest", "pytest")):
            (self.bin / name).write_text(f'#!/bin/sh\nexec {python} -m {module} "$@"\n')
            (self.bin / name).chmod(0o755)

    def run(self, command: str, folder: Path | None = None) -> str:
        """The output of a shell command; the test fails with its messages if it fails."""
        environment = {
            **os.environ,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.path / "env"),
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip negates this variable: isolation is off
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "COLUMNS": "200",
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
        }
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            command, shell=True, cwd=folder or self.work, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def ganzoo(self, command: str) -> str:
        """The output of a `ganzoo` command, in a process that need not import torch first; it must succeed."""
        from tests import ranks

        _, *words = shlex.split(command)
        python = str(self.bin / "python")
        code, out, err = ranks.ganzoo(words, self.work, self.packages, self.path, columns=200, python=python)
        assert code == 0, f"{command}\n{out}\n{err}"
        return out
