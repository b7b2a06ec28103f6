"""Values for shell completion. Names come from entry points, without importing a plugin."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ganzoo.core import config as configs
from ganzoo.core import registry
from ganzoo.core.entry_points import MODELS, choices
from ganzoo.core.errors import GanzooError

WORD = re.compile(r"[\w@%+=:,./-]+")
"""A path that no shell changes or executes."""
Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names(group: str) -> Complete:
    """A function that completes the names of a group of entry points."""
    return lambda ctx, parameter, word: [name for name in registry.names(group) if name.startswith(word)]


architectures = names(registry.ARCHITECTURES)
datasets = names(registry.DATASETS)


def runs(ctx: click.Context, parameter: click.Parameter, word: str) -> list[str]:
    """Complete run directories in `runs`, or in the directory typed so far, and models; those to quote are left out."""
    folder = Path(os.path.dirname(word) or "runs")
    directories = sorted(str(file.parent) for file in folder.glob("*/config.json"))
    return [run for run in [*directories, *choices(MODELS)] if run.startswith(word) and WORD.fullmatch(run)]


def sampling(ctx: click.Context, parameter: click.Parameter, word: str) -> list[str]:
    """Complete KEY= for the sampling settings of the run before it."""
    run = ctx.params.get("run") or next(iter(ctx.args), None)
    try:
        config = json.loads(Path(str(run), "config.json").read_text(encoding="utf-8"))
        name = f"{config['distribution']}:{config['architecture']}"
        with open(os.devnull, "w") as devnull, contextlib.redirect_stderr(devnull):
            known = configs.settings(registry.get_architecture(name).card.Sampling)
    except (OSError, ValueError, KeyError, TypeError, GanzooError):
        return []
    return [f"{setting.name}=" for setting in known if setting.name.startswith(word)]


def recipes(ctx: click.Context, parameter: click.Parameter, word: str) -> list[str]:
    """Complete the recipes of the architecture before it."""
    card = _card(ctx)
    return [] if card is None else [name for name in card.recipes if name.startswith(word)]


def settings(ctx: click.Context, parameter: click.Parameter, word: str) -> list[str]:
    """Complete KEY= for the architecture before it, and KEY=VALUE if the setting has a list of choices."""
    card = _card(ctx)
    known = [] if card is None else configs.settings(card.Config)
    values = {s.name: ("true", "false") if s.type is bool else s.choices or ("",) for s in known}
    assignments = [f"{name}={value}" for name, choices in values.items() for value in choices]
    return [assignment for assignment in assignments if assignment.startswith(word)]


def _card(ctx: click.Context) -> Any:
    """The card of the architecture on the command line; None if there is none."""
    name = ctx.params.get("architecture") or ctx.params.get("name") or next(iter(ctx.args), None)
    if name is None:  # click leaves it in args while an option lacks its value
        return None
    try:
        with open(os.devnull, "w") as devnull, contextlib.redirect_stderr(devnull):  # plugins may print when imported
            return registry.get_architecture(name).card
    except GanzooError:
        return None
