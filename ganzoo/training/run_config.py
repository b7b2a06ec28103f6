"""config.json of a run: how options are stored in it, and what it must hold to be used."""

from __future__ import annotations

import os
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.core import entry_points, plugin_file, registry
from ganzoo.core.config import json_types
from ganzoo.core.errors import GanzooError, PluginError, UsageError
from ganzoo.core.spec import INPUT, DataSpec
from ganzoo.training.config import LENGTHS, OPTIONS, SCHEDULE, STORED, TrainConfig

CONFIG = "config.json"
FORMAT = 1
TYPES: dict[str, tuple[type, ...]] = {
    "architecture": (str,), "distribution": (str,), "settings": (dict,), "schedule": (dict,), "dataset": (dict,),
    "dataset.name": (str,), "dataset.channels": (int,), "dataset.size": (int,), "dataset.classes": (int,),
    "dataset.class_names": (list,), "dataset.inputs": (int,), "dataset.scale": (int, float), "dataset.images": (int,),
}  # fmt: skip
"""The types of what describes the architecture and the data; those of options follow from `TrainConfig`."""
OPTIONAL_TYPES: dict[str, tuple[type, ...]] = {
    "dataset.split": (str,), "dataset.sha256": (str,), "versions": (dict,), "resumes": (list,), "threads": (int,),
    "ranks": (int,), "model": (str,), "warm_start": (dict,),
}  # fmt: skip
RANGES: dict[str, tuple[float, float]] = {
    "dataset.channels": (1, 1 << 12), "dataset.size": (0, 1 << 14), "dataset.classes": (0, 1 << 20),
    "dataset.inputs": (0, 1 << 12), "dataset.images": (0, 1 << 48), "dataset.scale": (1e-30, 1e30),
    "threads": (1, 1 << 10), "ranks": (1, 1 << 16),
}  # fmt: skip
DISTRIBUTION = re.compile("[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
"""The name of a distribution that pip would accept (PEP 508)."""
NAMED_PLUGINS = {
    "loss": entry_points.LOSSES,
    "penalty": entry_points.PENALTIES,
    "augmentation": entry_points.AUGMENTATIONS,
}
"""The settings of every architecture that name a plugin, and the groups they name it from."""


def to_run_config(config: TrainConfig) -> dict[str, Any]:
    """The options as config.json holds them, those of the schedule in a table of their own."""
    values = {name: getattr(config, name) for name in STORED}
    schedule = {name: values.pop(name) for name in STORED if OPTIONS[name].section == SCHEDULE}
    return values | {"schedule": schedule}


def spec_to_config(spec: DataSpec) -> dict[str, Any]:
    """The spec as the table `dataset` of config.json holds it; `fields` only where the short form is not enough."""
    target, inputs = spec.target, spec.given.get(INPUT)
    short: dict[str, Any] = {
        "channels": spec.channels,
        "size": target.shape[1] if spec.kind == "images" else 0,
        "classes": spec.classes,
        "inputs": inputs.shape[0] if inputs is not None and inputs.shape else 0,
        "scale": spec.scale,
    }
    return short if DataSpec(**short) == spec else {**short, **spec.to_json()}


def spec_of(dataset: Mapping[str, Any]) -> DataSpec:
    """The spec in the table `dataset` of config.json. ValueError if it is damaged."""
    if "fields" not in dataset:
        return DataSpec(*(dataset[name] for name in ("channels", "size", "classes", "inputs", "scale")))
    try:
        return DataSpec.from_json(dataset)
    except (LookupError, TypeError, AttributeError, ValueError) as failure:
        raise ValueError(f"dataset.fields does not describe data ({failure})") from failure


def options_of(run_config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run; those that did not exist when it was written, or were unset, are left out."""
    stored = {**run_config, **run_config["schedule"]}
    options = {name: stored[name] for name in STORED if stored.get(name) is not None}
    return options | {
        "architecture": f"{run_config['distribution']}:{run_config['architecture']}",
        "dataset": run_config["dataset"]["name"],
    }


def resumed_options(run_config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run with `changes` applied; a length among them replaces the run's."""
    options = options_of(run_config)
    if any(name in changes for name in LENGTHS):
        options = {name: value for name, value in options.items() if name not in LENGTHS}
    name = run_config["architecture"]
    asked = changes.get("architecture")
    if asked is not None and registry.canonical_name(asked) not in (name, options["architecture"]):
        raise UsageError(f"--resume cannot make a {asked} of this run: it is a {name}.")
    return options | {name: value for name, value in changes.items() if name != "architecture"}


def architecture_of(run_config: Mapping[str, Any]) -> registry.Entry:
    """The architecture a run was trained with. PluginError names the package to install if it is missing."""
    name, distribution = run_config["architecture"], run_config["distribution"]
    _require_plugins(run_config)
    if distribution == plugin_file.DISTRIBUTION:
        return plugin_file.load_recorded(run_config["file"])
    try:
        return registry.get_architecture(f"{distribution}:{name}")
    except UsageError:
        command = f" Install it: pip install {distribution}" if DISTRIBUTION.fullmatch(distribution) else ""
        raise PluginError(
            f"This run was trained with the architecture {name!r} of the package {distribution!r}, which is not "
            f"installed.{command}"
        ) from None


def architecture_name(run_config: Mapping[str, Any]) -> str:
    """The architecture of a run as users type it: its name, or FILE.py:CLASS."""
    if run_config["distribution"] == plugin_file.DISTRIBUTION:
        return f"{run_config['file']['path']}:{run_config['file']['class']}"
    return str(run_config["architecture"])


PLACE = re.compile(rf"[a-z][a-z0-9+.-]+://|{re.escape(os.sep)}")
"""The beginning of a URL or an absolute path in the name of a data set."""
OPTIONS_OF_DATA = re.compile(r"(?<=:)[a-z_]+=[^:]*:")


def is_moved(before: Any, now: Mapping[str, Any]) -> bool:
    """Whether two descriptions of a data set in config.json differ in the path of its name at most, not in its data.

    Options before the path say how files are read; if that changes anything, the data differ.
    """
    return (
        isinstance(before, dict)
        and before.get("sha256") == now["sha256"]
        and isinstance(before.get("name"), str)
        and OPTIONS_OF_DATA.sub("", kind_of(before["name"])) == OPTIONS_OF_DATA.sub("", kind_of(now["name"]))
    )


def kind_of(dataset: str) -> str:
    """The name of a data set without its path: `folder:` of `folder:/data/photos`."""
    return PLACE.split(dataset, maxsplit=1)[0]


def moved_hint(run_config: Mapping[str, Any]) -> str:
    """The end of a message that the data of a run are missing, if they have a path."""
    name = run_config["dataset"]["name"]
    kind = kind_of(name)
    return "" if kind == name else f" If the data of this run are elsewhere now, add --dataset {kind}NEW_PATH."


def plugins_of(settings: Any) -> dict[str, str]:
    """The packages that loss, penalty and augmentation come from, by setting; built-in ones are left out."""
    owners = {name: entry_points.owner(group, getattr(settings, name)) for name, group in NAMED_PLUGINS.items()}
    return {name: owner for name, owner in owners.items() if owner is not None}


def _require_plugins(run_config: Mapping[str, Any]) -> None:
    """PluginError, with the package to install, if the loss, penalty or augmentation of a run is missing."""
    for name, distribution in run_config.get("plugins", {}).items():
        group, value = NAMED_PLUGINS.get(name), run_config["settings"].get(name)
        if (
            group
            and isinstance(value, str)
            and entry_points.shortest_name(group, value) not in entry_points.choices(group)
        ):
            raise PluginError(
                f"This run was trained with the {name} {value!r} of the package {distribution!r}, which is not "
                f"installed. Install it: pip install {distribution}"
            )


def check_run_config(config: dict[str, Any], file: Path) -> None:
    """Refuse a config.json, which may come from anywhere, that lacks something or holds it in another type."""
    values = _with_tables(config)
    for name, types in TYPES.items():
        if name not in values:
            raise GanzooError(f"{file} is damaged: it lacks {name}.")
        _check_type(file, name, values[name], types)
    for name, types in OPTIONAL_TYPES.items():
        if name in values:
            _check_type(file, name, values[name], types)
    for name, (least, most) in RANGES.items():
        if name in values and not least <= values[name] <= most:
            raise GanzooError(f"{file} is damaged: {name} is {values[name]}, expected {least:,} to {most:,}.")
    if config["distribution"] == plugin_file.DISTRIBUTION:
        record: Any = config.get("file")
        _check_type(file, "file", record, (dict,))
        for name in ("path", "class", "sha256"):
            _check_type(file, f"file.{name}", record.get(name), (str,))
    _check_type(file, "plugins", config.get("plugins", {}), (dict,))
    for name in STORED:
        stored = f"schedule.{name}" if OPTIONS[name].section == SCHEDULE else name
        if stored in values:
            _check_type(file, stored, values[stored], json_types(OPTIONS[name].type))
    for name in ("architecture", "distribution", "dataset.name", "data_dir", "init_from"):
        if "\0" in (values.get(name) or ""):
            raise GanzooError(f"{file} is damaged: {name} is {values[name]!r}.")
    _check_type(file, "settings.image_size", config["settings"].get("image_size"), (int, type(None)))
    resumes = config.get("resumes", [])
    if not all(isinstance(resume, dict) and isinstance(resume.get("versions", {}), dict) for resume in resumes):
        raise GanzooError(f"{file} is damaged: resumes is not a list of tables.")
    try:
        spec = spec_of(config["dataset"])
    except ValueError as failure:
        raise GanzooError(f"{file} is damaged: {failure}.") from None
    if spec.classes != config["dataset"]["classes"]:
        raise GanzooError(f"{file} is damaged: dataset.fields has {spec.classes} classes.")
    class_names = config["dataset"]["class_names"]
    if len(class_names) != config["dataset"]["classes"] or not all(isinstance(name, str) for name in class_names):
        raise GanzooError(
            f"{file} is damaged: dataset.class_names does not name {config['dataset']['classes']} classes."
        )


def fill_in(config: dict[str, Any]) -> dict[str, Any]:
    """`config` with defaults for options newer than itself, and the present name of its distribution."""
    defaults = to_run_config(TrainConfig())
    distribution = registry.canonical_distribution(config["distribution"])
    return {**defaults, **config, "schedule": defaults["schedule"] | config["schedule"], "distribution": distribution}


def _with_tables(config: dict[str, Any]) -> dict[str, Any]:
    """The values by dotted names, those of two tables included, whatever they are."""
    tables = {name: config[name] for name in ("dataset", "schedule") if isinstance(config.get(name), dict)}
    return config | {f"{table}.{name}": value for table, values in tables.items() for name, value in values.items()}


def _check_type(file: Path, name: str, value: Any, types: tuple[type, ...]) -> None:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        expected = " or ".join("none" if kind is type(None) else kind.__name__ for kind in types)
        raise GanzooError(f"{file} is damaged: {name} is {reprlib.repr(value)}, expected {expected}.")
