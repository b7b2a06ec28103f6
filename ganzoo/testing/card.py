"""Checks of the card itself: what users see before any network is built."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from ganzoo.core import config as configs
from ganzoo.core.errors import UsageError
from ganzoo.testing.kit import CheckError, rule
from ganzoo.testing.subject import Subject

HEAVY = ("torch", "numpy", "PIL", "sklearn", "scipy", "pandas", "matplotlib")
SUMMARY = 100
IMPORT = """
import importlib, json, sys
module, sys.path, heavy = json.loads(sys.argv[1])
sys.stdout = sys.stderr
importlib.import_module(module)
print(json.dumps([name for name in heavy if name in sys.modules]), file=sys.__stdout__)
"""


@rule("let the module of the card be imported by itself; import what is heavy inside the method that needs it.")
def metadata(subject: Any) -> None:
    """The card describes itself, and its module imports nothing heavy."""
    card = subject.card
    for name in ("summary", "paper", "source"):
        text = getattr(card, name, "-")
        if not text.strip() or "\n" in text or (name == "summary" and len(text) > SUMMARY):
            raise CheckError(f"{name} is {text!r}", f"say it in one line; a summary has at most {SUMMARY} letters.")
    module = type(card).__module__
    if module == "__main__":
        raise CheckError("the card is in a script", "put it into a module of a package.")
    words = [sys.executable, "-c", IMPORT, json.dumps([module, sys.path, HEAVY])]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise CheckError(
            f"a fresh Python cannot import {module}: {done.stderr.strip().splitlines()[-1]}",
            "put the card into a module of an installed package.",
        )
    loaded = json.loads(done.stdout.splitlines()[-1])
    if loaded:
        raise CheckError(
            f"importing {module} imports {', '.join(loaded)}",
            f"import {loaded[0]} inside the method that needs it, or in a module that this method imports.",
        )


@rule("use the types int, float, bool, str, Literal[...], tuple[int, ...] or one of them with None.")
def settings(subject: Subject) -> None:
    """Settings have help texts and survive config.json and --set."""
    config_type = subject.card.Config
    for setting in configs.settings(config_type):
        if not setting.help:
            raise CheckError(
                f"the setting {setting.name} has no help text",
                f'declare it as {setting.name}: ... = setting({setting.default!r}, "what it does").',
            )
    for condition in ("", *config_type.variants):
        name, _, choice = condition.partition("=")
        try:
            config = subject.config(**({name: choice} if name else {}))
        except UsageError:
            continue  # this choice may need others beside it
        plain = json.loads(json.dumps(configs.to_dict(config)))
        words = {name: configs.format_value(value) for name, value in plain.items()}
        for form, values in (("config.json", plain), ("--set", words)):
            again = configs.make(config_type, values)
            if again != config:
                changed = "; ".join(configs.difference(configs.to_dict(config), configs.to_dict(again)))
                raise CheckError(f"written to {form} and read back, settings change: {changed}")
