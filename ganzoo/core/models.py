"""Trained models in installed packages, by name. Nothing of such a package is imported: a model is a folder of files.

A package declares an entry point for each model; its value is a package and a folder in it, as `PACKAGE:FOLDER`:

    [project.entry-points."ganzoo.models"]
    cgan-mnist = "ganzoo_cgan_mnist:model"

The folder is a run directory without the state that a training needs to go on.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

from ganzoo.core import entry_points
from ganzoo.core.entry_points import MODELS
from ganzoo.core.errors import PluginError, UsageError, did_you_mean

NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")


@dataclass(frozen=True)
class Model:
    """An installed model: the folder of its files, or the reason why it cannot be used."""

    name: str
    distribution: str
    version: str
    folder: Path | None
    error: str | None = None


def installed() -> list[Model]:
    """Every installed model, by name; those that share a name are called `distribution:name`, except a built-in one."""
    names = entry_points.choices(MODELS)
    return [_model(name, _points(name)[0]) for name in sorted(names)]


def find(name: str) -> Path | None:
    """The folder of the model called `name` or `distribution:name`; None if there is none.

    Raises UsageError if several packages claim the name, PluginError if the model's folder is missing.
    """
    points = _points(name)
    if not points:
        return None
    if len(points) > 1:
        known = " or ".join(entry_points.qualified_name(point) for point in points)
        raise UsageError(f"Several models are called {name!r}. Write {known}.")
    model = _model(name, points[0])
    if model.folder is None:
        raise PluginError(
            f"The model {name!r} from {model.distribution} {model.version} cannot be used: {model.error}."
        )
    return model.folder


def hint(name: str) -> str:
    """The end of a message about a model that is unknown; empty if `name` cannot be one or there is no model."""
    known = entry_points.choices(MODELS)
    return f" No model has this name either. {did_you_mean(name, known)}" if known and NAME.fullmatch(name) else ""


def _points(name: str) -> list[EntryPoint]:
    """The entry points that `name` means; a built-in one has precedence."""
    spelling = entry_points.canonical_name(name)
    points = entry_points.points(MODELS)
    exact = [p for p in points if entry_points.qualified_name(p) == spelling]
    plain = [p for p in points if p.name == spelling]
    own = [p for p in plain if entry_points.distribution(p)[0] == entry_points.OWN_DISTRIBUTION]
    return exact or own or plain


def _model(name: str, point: EntryPoint) -> Model:
    distribution, version = entry_points.distribution(point)
    match = re.fullmatch(r"(\w+):(\w+)", point.value.replace(" ", ""))
    if match is None:
        return Model(name, distribution, version, None, f"its entry point {point.value!r} is not PACKAGE:FOLDER")
    package = importlib.util.find_spec(match[1])  # of a package without a dot this imports nothing
    for place in (package.submodule_search_locations if package else None) or ():
        folder = Path(place) / match[2]
        if folder.is_dir():
            return Model(name, distribution, version, folder)
    return Model(name, distribution, version, None, f"its folder {match[2]} is missing from {match[1]}")
