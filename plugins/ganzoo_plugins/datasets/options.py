"""Options before the path in the argument of a data set: `folder:size=48x64,bits=16:PATH`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ganzoo.errors import UsageError, did_you_mean

OPTIONS = re.compile(r"([a-z_]+=[^:=]*(?:,[a-z_]+=[^:=]*)*):(.+)", re.DOTALL)


def split(argument: str) -> tuple[dict[str, str], str]:
    """The options and the rest: `size=48x64:photos` -> ({"size": "48x64"}, "photos"), `photos` -> ({}, "photos")."""
    match = OPTIONS.fullmatch(argument)
    if match is None:
        return {}, argument
    pairs = re.split(r",(?=[a-z_]+=)", match[1])
    return dict(pair.split("=", 1) for pair in pairs), match[2]


def parse(dataset: str, argument: str | None, known: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The options and the path, with ~ for the home directory. `known` names the options, each with its form.

    Raises UsageError if there is no path, or for an unknown option.
    """
    options, path = split(argument or "")
    for name in options:
        if name not in known:
            raise UsageError(f"{dataset}:{argument}: there is no option {name!r}. {did_you_mean(name, known)}")
    if not path:
        raise UsageError(f"Data set {dataset!r} needs its PATH: write {dataset}:PATH.")
    return options, os.path.expanduser(path)


def absolute(argument: str) -> str:
    """The argument with an absolute path."""
    options, path = split(argument)
    written = ",".join(f"{name}={value}" for name, value in options.items())
    return (f"{written}:" if options else "") + os.path.abspath(os.path.expanduser(path))


def whole_numbers(dataset: str, name: str, value: str, form: str, separator: str = "x") -> tuple[int, ...]:
    """The whole numbers in the option's `value`. UsageError if it does not have the `form`, such as HEIGHTxWIDTH."""
    parts = value.split(separator)
    if len(parts) != len(form.split(separator)) or not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise UsageError(f"{dataset}: {name}={value} is not valid: expected {name}={form} in whole numbers.")
    return tuple(map(int, parts))
