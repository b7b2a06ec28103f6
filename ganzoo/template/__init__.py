"""Write a new plugin package from the template files in this folder: those in `common`, and those of its kind."""

from __future__ import annotations

import keyword
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from ganzoo.core import entry_points, registry
from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.plugin import API_VERSION
from ganzoo.core.version import __version__

TEMPLATE = Path(__file__).parent
SUFFIX = ".in"
PACKAGE = "package"
"""The folder of the template that gets the name of the new package."""


@dataclass(frozen=True)
class Kind:
    """A kind of plugin: its group of entry points, and the words in which its package differs from others."""

    group: str
    description: str
    use: str
    """The command that uses the plugin."""
    check: str
    """The command that checks it, after `ganzoo check`."""
    checked: str
    """The arguments of `parametrize_checks`."""
    target: str = "$class_name"


VANILLA = "ganzoo train vanilla --dataset digits --steps 50"
KINDS = {
    "architecture": Kind(
        entry_points.ARCHITECTURES, "An architecture", "ganzoo train $name --dataset digits", "$name", '"$name"'
    ),
    "dataset": Kind(
        entry_points.DATASETS,
        "A data set",
        "ganzoo train dcgan --dataset $name",
        "--dataset $name",
        'datasets=["$name"]',
    ),
    "metric": Kind(
        entry_points.METRICS,
        "A metric",
        f"{VANILLA} --out runs/first\nganzoo evaluate runs/first --metrics $name",
        "--metric $name",
        'metrics=["$name"]',
    ),
    "loss": Kind(
        entry_points.LOSSES, "A loss", f"{VANILLA} --set loss=$name", "--loss $name", 'losses=["$name"]', "loss"
    ),
    "logger": Kind(
        entry_points.LOGGERS, "A logger", f"{VANILLA} --logger $name", "--logger $name", 'loggers=["$name"]'
    ),
}
"""The kinds of plugins that `ganzoo new` writes packages for."""


def write(name: str, directory: Path | None = None, kind: str = "architecture") -> Path:
    """Write a package with the plugin `name` to `directory`, by default ./ganzoo-NAME, and return its path.

    The package can be installed, works and passes its checks. Raises UsageError if the name is invalid or taken, or if
    the directory is not empty, and GanzooError if a file cannot be written. Writes everything or nothing.
    """
    values = values_of(name, kind)
    target = directory if directory is not None else Path(values["distribution"])
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists and is not an empty directory. Choose another --dir.")
    temporary = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        for source, place in _sources(kind):
            parts = [values["package"] if part == PACKAGE else part for part in place.parts]
            file = temporary.joinpath(*parts).with_name(source.name.removesuffix(SUFFIX))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template(source.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
        os.replace(temporary, target)
    except OSError as failure:
        raise GanzooError(f"Cannot write {target}: {failure.strerror or failure}") from failure
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def values_of(name: str, kind: str) -> dict[str, str]:
    """What the template files say about a plugin. Raises UsageError if its name is invalid or taken."""
    chosen = KINDS[kind]
    if not re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", name):
        raise UsageError(
            f"{name!r} is not a valid name: expected lower-case letters and digits, a letter first, with - or _ "
            "between them."
        )
    if name in registry.names(chosen.group):
        raise UsageError(f"{chosen.description} called {name!r} is already installed. Choose another name.")
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
        "group": chosen.group,
        "description": chosen.description,
    }
    words = {"use": chosen.use, "check": f"ganzoo check {chosen.check}", "checked": chosen.checked}
    return values | {
        word: Template(text).substitute(values) for word, text in {**words, "target": chosen.target}.items()
    }


def _sources(kind: str) -> Iterator[tuple[Path, Path]]:
    """The template files of a kind, and their places in the package."""
    for folder in (TEMPLATE / "common", TEMPLATE / kind):
        for source in sorted(folder.rglob(f"*{SUFFIX}")):
            yield source, source.relative_to(folder)
