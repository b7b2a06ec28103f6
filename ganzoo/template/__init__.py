"""Write a new plugin package from the template files in this folder."""

from __future__ import annotations

import keyword
import os
import re
import shutil
from pathlib import Path
from string import Template

from ganzoo.core import registry
from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.plugin import API_VERSION
from ganzoo.core.version import __version__

TEMPLATE = Path(__file__).parent
SUFFIX = ".in"
PACKAGE = "package"
"""The folder of the template that gets the name of the new package."""


def write(name: str, directory: Path | None = None) -> Path:
    """Write a package with the architecture `name` to `directory`, by default ./ganzoo-NAME, and return its path.

    The package can be installed, passes the conformance kit and trains. Raises UsageError if the name is invalid or
    taken, or if the directory is not empty, and GanzooError if a file cannot be written. Writes everything or nothing.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", name):
        raise UsageError(
            f"{name!r} is not a valid name: expected lower-case letters and digits, with - or _ between them."
        )
    if name in registry.names(registry.ARCHITECTURES):
        raise UsageError(f"An architecture called {name!r} is already installed. Choose another name.")
    distribution = f"ganzoo-{name.replace('_', '-')}"
    class_name = "".join(part.capitalize() for part in re.split("[_-]", name))
    if keyword.iskeyword(class_name):
        raise UsageError(f"{name!r} is not a valid name: Python reserves {class_name}.")
    values = {
        "name": name,
        "distribution": distribution,
        "package": distribution.replace("-", "_"),
        "class_name": class_name,
        "version": __version__,
        "api_version": str(API_VERSION),
    }
    target = directory if directory is not None else Path(distribution)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists and is not an empty directory. Choose another --dir.")
    temporary = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        for source in sorted(TEMPLATE.rglob(f"*{SUFFIX}")):
            parts = [values["package"] if part == PACKAGE else part for part in source.relative_to(TEMPLATE).parts]
            file = temporary.joinpath(*parts).with_name(source.name.removesuffix(SUFFIX))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(source.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
        os.replace(temporary, target)
    except OSError as failure:
        raise GanzooError(f"Cannot write {target}: {failure.strerror or failure}") from failure
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target
