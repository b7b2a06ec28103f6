"""Checks of the card: its texts, its imports and its settings."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from ganzoo.core import config as configs
from ganzoo.core.errors import UsageError
from ganzoo.core.plugin_file import MODULE_PREFIX
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.testing.kit import CheckError, rule

HEAVY = ("torch", "numpy", "PIL", "sklearn", "scipy", "pandas", "matplotlib")
SUMMARY = 100
IMPORT = """
import importlib, json, sys
module, sys.path, heavy = json.loads(sys.argv[1])
sys.stdout = sys.stderr
importlib.import_module(module)
print(json.dumps([name for name in heavy if name in sys.modules]), file=sys.__stdout__)
"""


@rule("make the card's module importable on its own; import heavy packages inside the method that needs them.")
def metadata(fixture: Any) -> None:
    """The card describes itself, and its module imports nothing heavy."""
    card = fixture.card
    for name in ("summary", "paper", "source"):
        text = getattr(card, name, "-")
        if not text.strip() or "\n" in text or (name == "summary" and len(text) > SUMMARY):
            raise CheckError(f"{name} is {text!r}", f"write one line; a summary has at most {SUMMARY} characters.")
    module = type(card).__module__
    if module == "__main__":
        raise CheckError("the card is in a script", "move it into a module of a package.")
    if module.startswith(MODULE_PREFIX):
        return  # no listing imports a file
    command = [sys.executable, "-I", "-c", IMPORT, json.dumps([module, sys.path, HEAVY])]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise CheckError(
            f"a new Python process cannot import {module}: {process.stderr.strip().splitlines()[-1]}",
            "move the card into a module of an installed package.",
        )
    heavy = json.loads(process.stdout.splitlines()[-1])
    if heavy:
        raise CheckError(
            f"importing {module} imports {', '.join(heavy)}",
            f"import {heavy[0]} inside the method that needs it, or in a module that this method imports.",
        )


@rule("use the types int, float, bool, str, Literal[...], tuple[int, ...] or one of them with None.")
def settings(fixture: ArchitectureFixture) -> None:
    """Settings have help texts and survive a round trip through config.json and --set."""
    config_type = fixture.card.Config
    for setting in (*configs.settings(config_type), *configs.settings(fixture.card.Sampling)):
        if not setting.help:
            raise CheckError(
                f"the setting {setting.name} has no help text",
                f'declare it as {setting.name}: ... = setting({setting.default!r}, "what it does").',
            )
    for condition in ("", *config_type.variants):
        name, _, choice = condition.partition("=")
        try:
            config = fixture.config(**({name: choice} if name else {}))
        except UsageError:
            continue  # this choice may require other settings
        plain = json.loads(json.dumps(configs.to_dict(config)))
        texts = {name: configs.format_value(value) for name, value in plain.items()}
        for form, values in (("config.json", plain), ("--set", texts)):
            copy = configs.make(config_type, values)
            if copy != config:
                changes = "; ".join(configs.difference(configs.to_dict(config), configs.to_dict(copy)))
                raise CheckError(f"written to {form} and read back, settings change: {changes}")
