"""The words that a shell completes. Names come from entry points, without importing a plugin."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import click

from ganzoo.core import config as configs
from ganzoo.core import registry
from ganzoo.core.errors import GanzooError

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names(group: str) -> Complete:
    """Completes the names of a group of entry points."""
    return lambda ctx, parameter, word: [name for name in registry.names(group) if name.startswith(word)]


architectures = names(registry.ARCHITECTURES)
datasets = names(registry.DATASETS)


def runs(ctx: click.Context, parameter: click.Parameter, word: str) -> list[str]:
    """Completes the run directories in `runs`, or beside what was typed so far."""
    folder = Path(os.path.dirname(word) or "runs")
    found = sorted(str(file.parent) for file in folder.glob("*/config.json"))
    return [run for run in found if run.startswith(word)]


def settings(ctx: click.Context, parameter: click.Parameter, word: str) -> list[str]:
    """Completes KEY= and, where a value is one of a few words, KEY=VALUE for the architecture that stands before."""
    name = ctx.params.get("architecture") or ctx.params.get("name") or next(iter(ctx.args), None)
    if name is None:  # click leaves it in args where an option still waits for its value
        return []
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # what plugins say when imported
            known = configs.settings(registry.get_architecture(name).card.Config)
    except GanzooError:
        return []
    values = {s.name: ("true", "false") if s.type is bool else s.choices or ("",) for s in known}
    words = [f"{name}={value}" for name, choices in values.items() for value in choices]
    return [found for found in words if found.startswith(word)]
