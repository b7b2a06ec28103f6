"""Typed settings: a frozen dataclass, and conversion from and to `--set key=value`, TOML, JSON and help texts.

An architecture's `Config` is a dataclass and the only place that states its defaults. `settings` describes it, `make`
creates one from overrides (texts or values), and `to_dict` converts it to JSON values.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from ganzoo.core.conversion import convert, is_union, one_of
from ganzoo.core.errors import UsageError, did_you_mean

MAX_SEED = (1 << 63) - 1
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
    """One field of a Config: its type, default, help text and range."""

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
        """The values of a setting with a list of choices; empty for any other."""
        if (mark := one_of(self.type)) is not None:
            return tuple(mark.choices())
        return get_args(self.type) if get_origin(self.type) is Literal else ()


def settings(config_type: type) -> list[Setting]:
    """The settings of `config_type` in the order they are declared.

    A subclass can change the default of a field without repeating help and range, which are inherited.
    """
    hints = typing.get_type_hints(config_type, include_extras=True)
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
    """The help text of a setting with its default, unless that is none or nothing."""
    return (
        setting.help if setting.default in (None, ()) else f"{setting.help} (default {format_value(setting.default)})"
    )


def make(config_type: type[C], overrides: Mapping[str, Any], data: str = "images") -> C:
    """A validated `config_type` with `overrides` in place of its defaults.

    Values have the field's type (from Python or TOML) or are texts (from the command line): `"128,128"` for a tuple,
    `"none"` for an optional setting. If the config declares `variants`, defaults that depend on another setting or on
    the kind of `data`, those of the chosen values apply; explicit overrides take precedence. Raises UsageError for
    unknown names, wrong types, values out of range, and settings that contradict each other.
    """
    known = {s.name: s for s in settings(config_type)}
    explicit = {}
    for name, value in overrides.items():
        if name not in known:
            raise UsageError(f"Unknown setting {name!r}. {did_you_mean(name, known)}")
        explicit[name] = parse(known[name], value)
    values = {s.name: s.default for s in known.values()} | explicit
    for condition, defaults in getattr(config_type, "variants", {}).items():
        name, _, choice = condition.partition("=")
        if format_value(data if name == "data" else values[name]) == choice:
            values = values | dict(defaults) | explicit
    config = config_type(**{name: parse(known[name], value) for name, value in values.items()})
    check = getattr(config, "check", None)
    if check is not None:
        check()
    return config


def defaults(config_type: type) -> dict[str, Any]:
    """The default of every setting, in the form of `to_dict`."""
    return {s.name: _to_json(s.default) for s in settings(config_type)}


def to_dict(config: Any) -> dict[str, Any]:
    """A config as JSON values; `make(type(config), to_dict(config)) == config`."""
    return {s.name: _to_json(getattr(config, s.name)) for s in settings(type(config))}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values with dotted names: {"dataset": {"name": "mnist"}} -> {"dataset.name": "mnist"}."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return result


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """A line `name: old -> new` for every setting that differs between two `to_dict` results."""
    names = [*old, *(name for name in new if name not in old)]
    return [
        f"{name}: {format_value(old.get(name, 'unset'))} -> {format_value(new.get(name, 'unset'))}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def parse(setting: Setting, value: Any) -> Any:
    """Convert `value`, a text or a typed value, to the setting's type. Raises UsageError if it is not valid."""
    if value is dataclasses.MISSING:
        raise UsageError(f"{setting.name} has no default.")
    try:
        result = convert(setting.type, value)
    except (ValueError, OverflowError):
        raise UsageError(_expected(setting, value)) from None
    for number in result if isinstance(result, tuple) else (result,):
        if isinstance(number, (int, float)) and not isinstance(number, bool) and not _in_range(setting, number):
            raise UsageError(_expected(setting, value))
    return result


def integer(name: str, value: Any, ge: int | None = None, le: int | None = None) -> int:
    """An argument that is a whole number, of whatever numeric type. Raises UsageError if it is not, or out of range."""
    number: int = parse(Setting(name, int, None, "", ge=ge, le=le), value)
    return number


def json_types(kind: Any) -> tuple[type, ...]:
    """The Python types that a value of a setting's type `kind` has when read back from JSON."""
    origin = get_origin(kind)
    if is_union(kind):
        return tuple(json_type for inner in get_args(kind) for json_type in json_types(inner))
    if origin is Annotated:
        return json_types(get_args(kind)[0])
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
    mark = one_of(get_args(setting.type)[0] if get_origin(setting.type) is tuple else setting.type)
    if mark is not None and isinstance(value, (str, list, tuple)):
        words = [str(word).strip() for word in (value.split(",") if isinstance(value, str) else value)]
        unknown = next((word for word in words if mark.normalise(word) not in mark.choices()), "")
        hint = did_you_mean(unknown, mark.choices())
        return f"{setting.name}={_shortened(value)} is not valid: no {mark.kind} is called {unknown!r}. {hint}"
    expected = " ".join([_type_name(setting.type), " and ".join(bounds)]).strip()
    return f"{setting.name}={_shortened(value)} is not valid: expected {expected}."


def _type_name(kind: Any) -> str:
    origin = get_origin(kind)
    if is_union(kind):
        return " or ".join("none" if arg is type(None) else _type_name(arg) for arg in get_args(kind))
    if (mark := one_of(kind)) is not None:
        return "one of " + ", ".join(mark.choices())
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(kind))
    if origin is tuple:
        return f"{_type_name(get_args(kind)[0])}s separated by commas"
    return {int: "integer", float: "number", bool: "true or false", str: "text"}.get(kind, str(kind))


def _to_json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def format_value(value: Any) -> str:
    """A value as users type it: `128,128`, `none`, `true`."""
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _shortened(value: Any) -> str:
    """A value in a message, which may be anything that was passed from Python."""
    try:
        text = " ".join(format_value(value).split())
    except Exception:  # the object's own str() may raise anything; an int of thousands of digits raises ValueError
        text = f"a {type(value).__name__}"
    return text if len(text) <= 100 else f"{text[:100]}..."
