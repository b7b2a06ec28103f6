"""Typed settings: from a frozen dataclass to `--set key=value`, TOML, help texts and back.

An architecture's `Config` is a dataclass; it is the only place where a default is written down. The functions here read
it: `settings` describes it, `make` builds one from overrides given as words or as values, `to_dict` writes it as JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from ganzoo.core.errors import UsageError, did_you_mean

C = TypeVar("C")


def setting(
    default: Any,
    help: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    section: str = "",
    metavar: str = "",
    resumable: bool = False,
) -> Any:
    """A dataclass field with a help text and an optional range: `ge` <= value, `gt` < value, value <= `le`.

    `section` groups settings in help texts, `metavar` stands for the value there, and `resumable` says that a resumed
    run may change it.
    """
    metadata = {"help": help, "ge": ge, "gt": gt, "le": le}
    metadata |= {"section": section, "metavar": metavar, "resumable": resumable}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Setting:
    """One field of a Config, described for people and for parsing."""

    name: str
    type: Any
    default: Any
    help: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    section: str = ""
    metavar: str = ""
    resumable: bool = False

    @property
    def type_name(self) -> str:
        return _type_name(self.type)

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a setting that is one of a few words; empty for every other kind."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()


def settings(config_type: type) -> list[Setting]:
    """The settings of `config_type` in the order they are declared.

    A subclass may give a field a new default without repeating help and range: they are inherited field by field.
    """
    hints = typing.get_type_hints(config_type)
    result = []
    for field in dataclasses.fields(config_type):
        metadata: dict[str, Any] = {}
        for base in reversed(config_type.__mro__):
            inherited = base.__dict__.get("__dataclass_fields__", {}).get(field.name)
            if inherited is not None:
                metadata.update(inherited.metadata)
        known = {key: metadata[key] for key in ("ge", "gt", "le", "section", "metavar", "resumable") if key in metadata}
        result.append(Setting(field.name, hints[field.name], field.default, metadata.get("help", ""), **known))
    return result


def describe(setting: Setting) -> str:
    """The help text of a setting with its default, unless that is none."""
    return setting.help if setting.default is None else f"{setting.help} (default {format_value(setting.default)})"


def make(config_type: type[C], overrides: Mapping[str, Any], data: str = "images") -> C:
    """A checked `config_type` with `overrides` applied over its defaults.

    Values may be of the field's own type (from Python or TOML) or words (from the command line): `"128,128"` for a
    tuple, `"none"` for an optional setting. Where the config declares `variants` (defaults that depend on another
    choice, such as the optimizer of a gradient-penalised critic, or on the kind of `data`) those of the chosen values
    apply, and what is given explicitly still wins. Raises `UsageError` for unknown names, wrong types and values out of
    range.
    """
    known = {s.name: s for s in settings(config_type)}
    given = {}
    for name, value in overrides.items():
        if name not in known:
            raise UsageError(f"Unknown setting {name!r}. {did_you_mean(name, known)}")
        given[name] = parse(known[name], value)
    values = {s.name: s.default for s in known.values()} | given
    for condition, defaults in getattr(config_type, "variants", {}).items():
        name, _, wanted = condition.partition("=")
        if format_value(data if name == "data" else values[name]) == wanted:
            values = values | dict(defaults) | given
    config = config_type(**{name: parse(known[name], value) for name, value in values.items()})
    check = getattr(config, "check", None)
    if check is not None:
        check()
    return config


def defaults(config_type: type) -> dict[str, Any]:
    """What every setting is where nobody says anything, as `to_dict` writes it."""
    return {s.name: _plain(s.default) for s in settings(config_type)}


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON values; `make(type(config), to_dict(config)) == config`."""
    return {s.name: _plain(getattr(config, s.name)) for s in settings(type(config))}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values with dotted names: {"dataset": {"name": "mnist"}} -> {"dataset.name": "mnist"}."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return result


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lines `name: old -> new` for every setting in which two `to_dict` results differ."""
    names = [*old, *(name for name in new if name not in old)]
    return [
        f"{name}: {format_value(old.get(name, 'unset'))} -> {format_value(new.get(name, 'unset'))}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def parse(setting: Setting, value: Any) -> Any:
    """`value`, a word or a typed value, as the setting's type; `UsageError` where it does not fit."""
    if value is dataclasses.MISSING:
        raise UsageError(f"{setting.name} has no default.")
    try:
        result = _convert(setting.type, value)
    except (ValueError, OverflowError):
        raise UsageError(_expected(setting, value)) from None
    for number in result if isinstance(result, tuple) else (result,):
        if isinstance(number, (int, float)) and not isinstance(number, bool) and not _in_range(setting, number):
            raise UsageError(_expected(setting, value))
    return result


def _convert(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            if type(None) in get_args(kind):
                return None
            raise ValueError
        for inner in get_args(kind):
            with contextlib.suppress(ValueError, OverflowError):
                if inner is not type(None):
                    return _convert(inner, value)
        raise ValueError
    if origin is Literal:
        for choice in get_args(kind):
            if value == choice or (isinstance(value, str) and value == str(choice)):
                return choice
        raise ValueError
    if origin is tuple:
        if isinstance(value, str):
            value = [part for part in value.split(",") if part.strip()]
        if not isinstance(value, (list, tuple)):
            value = [value]
        return tuple(_convert(get_args(kind)[0], item) for item in value)
    if kind is bool:
        words = {
            "true": True,
            "false": False,
            "yes": True,
            "no": False,
            "on": True,
            "off": False,
            "1": True,
            "0": False,
        }
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        raise ValueError
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError
    if kind is int:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError
        return int(value)
    if kind is float:
        number = float(value)
        if number != number or number in (float("inf"), float("-inf")):
            raise ValueError
        return number
    if kind is str and isinstance(value, str):
        return value
    raise ValueError


def json_types(kind: Any) -> tuple[type, ...]:
    """The Python types that a value of a setting's type `kind` has when read back from JSON."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return tuple(json_type for inner in get_args(kind) for json_type in json_types(inner))
    if origin is Literal:
        return tuple({type(choice) for choice in get_args(kind)})
    if origin is tuple:
        return (list,)
    return (int, float) if kind is float else (kind,)


def _in_range(setting: Setting, number: float) -> bool:
    return (
        (setting.ge is None or number >= setting.ge)
        and (setting.gt is None or number > setting.gt)
        and (setting.le is None or number <= setting.le)
    )


def _expected(setting: Setting, value: Any) -> str:
    bounds = [
        f"{sign} {bound if isinstance(bound, int) else format(bound, 'g')}"
        for sign, bound in ((">=", setting.ge), (">", setting.gt), ("<=", setting.le))
        if bound is not None
    ]
    wanted = " ".join([_type_name(setting.type), " and ".join(bounds)]).strip()
    return f"{setting.name}={format_value(value)} is not valid: expected {wanted}."


def _type_name(kind: Any) -> str:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if arg is type(None) else _type_name(arg) for arg in get_args(kind))
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(kind))
    if origin is tuple:
        return f"{_type_name(get_args(kind)[0])}s separated by commas"
    return {int: "integer", float: "number", bool: "true or false", str: "text"}.get(kind, str(kind))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def format_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)
