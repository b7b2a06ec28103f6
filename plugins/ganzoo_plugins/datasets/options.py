"""Options before the path in the argument of a data set: `folder:size=48x64,bits=16:PATH`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ganzoo.data.storage import is_url
from ganzoo.errors import UsageError, did_you_mean

OF_IMAGES = {"size": "HEIGHTxWIDTH", "bits": "8 or 16", "range": "LOW-HIGH"}
"""The options of data sets of images, each with its form."""
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

    Raises UsageError if there is no path, for an unknown option, and for one that is given twice.
    """
    options, path = split(argument or "")
    written = (argument or "")[: len(argument or "") - len(path)]
    for name in options:
        if len(re.findall(rf"(?<![a-z_]){name}=", written)) > 1:
            raise UsageError(f"{dataset}:{argument}: the option {name} is given twice.")
    for name in options:
        if name not in known:
            raise UsageError(f"{dataset}:{argument}: there is no option {name!r}. {did_you_mean(name, known)}")
    if not path:
        raise UsageError(f"Data set {dataset!r} needs its PATH: write {dataset}:PATH.")
    return options, os.path.expanduser(path)


def absolute(argument: str) -> str:
    """The argument with an absolute path; a URL is one."""
    options, path = split(argument)
    if is_url(path):
        return argument
    written = ",".join(f"{name}={value}" for name, value in options.items())
    return (f"{written}:" if options else "") + os.path.abspath(os.path.expanduser(path))


def whole_numbers(dataset: str, name: str, value: str, form: str, separator: str = "x") -> tuple[int, ...]:
    """The whole numbers in the option's `value`. UsageError if it does not have the `form`, such as HEIGHTxWIDTH."""
    parts = value.split(separator)
    if len(parts) != len(form.split(separator)) or not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise UsageError(f"{dataset}: {name}={value} is not valid: expected {name}={form} in whole numbers.")
    return tuple(map(int, parts))


def yes_or_no(dataset: str, name: str, chosen: Mapping[str, str]) -> bool | None:
    """The value of an option; None if it is not given. UsageError if it is neither yes nor no."""
    value = chosen.get(name)
    if value not in (None, "yes", "no"):
        raise UsageError(f"{dataset}: {name}={value} is not valid: expected {name}=yes or {name}=no.")
    return None if value is None else value == "yes"


def height_and_width(dataset: str, name: str, value: str) -> tuple[int, int]:
    """The size in the option's `value`, such as `48x64`. UsageError if it is none, or has sides beyond 4,096 pixels."""
    height, width = whole_numbers(dataset, name, value, "HEIGHTxWIDTH")
    if not 0 < height <= 4096 or not 0 < width <= 4096:
        raise UsageError(f"{dataset}: {name}={value} is not valid: expected sides of 1 to 4096 pixels.")
    return height, width


def image_form(
    dataset: str, chosen: dict[str, str], image_size: int | None
) -> tuple[tuple[int, int] | None, dict[str, Any]]:
    """The size that the options and --image-size ask for, if any, and the other arguments of `pictures.load`."""
    size = None if image_size is None else (image_size, image_size)
    if "size" in chosen:
        written = height_and_width(dataset, "size", chosen["size"])
        size = size or written
    form: dict[str, Any] = {}
    if "bits" in chosen:
        if chosen["bits"] not in ("8", "16"):
            raise UsageError(f"{dataset}: bits={chosen['bits']} is not valid: expected bits=8 or bits=16.")
        form["bits"] = int(chosen["bits"])
    if "range" in chosen:
        low, high = whole_numbers(dataset, "range", chosen["range"], "LOW-HIGH", "-")
        if not low < high <= 65535:
            raise UsageError(f"{dataset}: range={chosen['range']} is not valid: expected LOW < HIGH <= 65535.")
        form["value_range"] = (low, high)
    return size, form
