"""The command that repeats a run, and the name of its data on any machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.core import config as configs
from ganzoo.training.run_config import architecture_name, architecture_of, spec_of

REPEATED = ("seed", "precision")
"""The options, besides the length, on which the weights depend."""


def command(run_config: Mapping[str, Any], step: int) -> str:
    """The command that trains the run again to `step`, as many resumes as it took: `ganzoo train cgan ... --steps N`.

    Only settings that differ from their defaults are in it.
    """
    kind = spec_of(run_config["dataset"]).kind
    defaults = configs.to_dict(configs.make(architecture_of(run_config).card.Config, {}, kind))
    words = ["ganzoo", "train", architecture_name(run_config)]
    words += ["--dataset", portable_dataset(run_config["dataset"]["name"]), "--steps", str(step)]
    for name in REPEATED:
        words += [f"--{name}", str(run_config[name])]
    if run_config.get("init_from") is not None:
        words += ["--init-from", portable_run(run_config["init_from"])]
    if run_config.get("freeze") is not None:
        words += ["--freeze", run_config["freeze"]]
    for name, value in run_config["settings"].items():
        if name != "steps" and value != defaults.get(name):
            words += ["--set", f"{name}={configs.format_value(value)}"]
    return shlex.join(words)


def portable_run(name: str) -> str:
    """The name of a run or model without the folders of one machine."""
    return Path(name).name if Path(name).is_absolute() else name


def portable_dataset(name: str) -> str:
    """The name of a data set without the folders of one machine: `folder:photos` for `folder:/home/ann/photos`."""
    prefix, colon, argument = name.partition(":")
    inner = portable_dataset(argument) if ":" in argument and not Path(argument).is_absolute() else argument
    return f"{prefix}:{Path(argument).name if Path(argument).is_absolute() else inner}" if colon else name
