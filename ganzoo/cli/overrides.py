"""`--set KEY=VALUE` and `--config FILE.toml`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from ganzoo.core.errors import did_you_mean
from ganzoo.core.files import read_text
from ganzoo.core.paths import user_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1 << 20
"""Of a TOML file."""


def key_values(words: Iterable[str]) -> dict[str, str]:
    """`["a=1", "b=x"]` as a dict; a usage error for a word without "="."""
    result = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--set {word!r} is not valid: expected KEY=VALUE.")
        result[key.strip()] = value.strip()
    return result


def read_toml(path: str, options: Mapping[str, click.Parameter]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of `ganzoo train` at the top of a TOML file, and its table [set]; only `options` are known."""
    try:
        content = tomllib.loads(read_text(user_path(path), MAX_BYTES).removeprefix("\ufeff"))
    except OSError as failure:
        raise click.UsageError(f"--config {path}: {failure.strerror}.") from None
    except RecursionError:
        raise click.UsageError(f"--config {path} is nested too deeply.") from None
    except ValueError as failure:  # of the parser, of the encoding, or of a number with too many digits
        raise click.UsageError(f"--config {path} is not valid TOML: {failure}.") from None
    settings = content.pop("set", {})
    if not isinstance(settings, dict):
        raise click.UsageError(f"--config {path}: [set] must be a table of settings.")
    known = sorted(options)
    for name in content:
        if name not in known:
            hint = did_you_mean(name, known)
            raise click.UsageError(f"--config {path}: unknown option {name!r}; settings go under [set]. {hint}")
        _check_type(path, name, content[name], options[name])
    return content, settings


def _check_type(path: str, name: str, value: Any, option: click.Parameter) -> None:
    if getattr(option, "multiple", False):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise click.UsageError(f"--config {path}: {name} must be a list of texts, not {value!r}.")
        return
    kind = option.type
    kinds: tuple[type, ...] = (str,)
    expected = "text"
    if isinstance(kind, click.types.IntParamType):
        kinds, expected = (int,), "an integer"
    elif isinstance(kind, click.types.FloatParamType):
        kinds, expected = (int, float), "a number"
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise click.UsageError(f"--config {path}: {name} must be {expected}, not {value!r}.")
