"""Conversion of texts and of values of any numeric type to the type of a setting."""

from __future__ import annotations

import contextlib
import os
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

WORDS = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False, "1": True, "0": False}


@dataclass(frozen=True)
class OneOf:
    """Marks a text with choices that are known when the program runs: `Annotated[str, OneOf("loss", list_losses)]`."""

    kind: str
    """The word for a choice in messages."""
    choices: Callable[[], Sequence[str]]
    normalise: Callable[[str], str] = str
    """Maps other spellings of a choice to the one in `choices`."""


def one_of(kind: Any) -> OneOf | None:
    """The mark of a text with choices; None for any other type."""
    marks = getattr(kind, "__metadata__", ())
    return next((mark for mark in marks if isinstance(mark, OneOf)), None)


def is_union(kind: Any) -> bool:
    """Whether `kind` is a union of types: `int | None`."""
    return get_origin(kind) in (Union, types.UnionType)


def convert(kind: Any, value: Any) -> Any:
    """`value` as a value of the type `kind`. ValueError or OverflowError if it cannot be one."""
    value = _to_python(value)
    if is_union(kind):
        return _to_first(get_args(kind), value)
    if (mark := one_of(kind)) is not None:
        return _to_choice(mark, value)
    if get_origin(kind) is Literal:
        return _to_literal(get_args(kind), value)
    if get_origin(kind) is tuple:
        return _to_tuple(get_args(kind)[0], value)
    return SCALARS.get(kind, _refuse)(value)


def _to_python(value: Any) -> Any:
    """Numbers and arrays of NumPy and PyTorch, and numbers of the standard library, as int, float or list."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (Decimal, Fraction)):
        return int(value) if float(value).is_integer() else float(value)
    return value


def _to_first(kinds: Sequence[Any], value: Any) -> Any:
    """The value as the first of the types that it can have; None and "none" are None alone."""
    if value is None or (isinstance(value, str) and value.lower() == "none"):
        return None if type(None) in kinds else _refuse(value)
    for kind in kinds:
        with contextlib.suppress(ValueError, OverflowError):
            if kind is not type(None):
                return convert(kind, value)
    return _refuse(value)


def _to_choice(mark: OneOf, value: Any) -> Any:
    value = "none" if value is None else value
    name = mark.normalise(value) if isinstance(value, str) else value
    return name if name in mark.choices() else _refuse(value)


def _to_literal(choices: Sequence[Any], value: Any) -> Any:
    value = "none" if value is None else value
    for choice in choices:
        if value == choice or (isinstance(value, str) and value == str(choice)):
            return choice
    return _refuse(value)


def _to_tuple(kind: Any, value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple, range)):
        value = [value]
    return tuple(convert(kind, item) for item in value)


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return WORDS[value.lower()] if isinstance(value, str) and value.lower() in WORDS else _refuse(value)


def _to_text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        path: str = os.fspath(value)
        return path
    if type(value).__module__ == "torch" and type(value).__name__ == "device":
        return str(value)
    return value if isinstance(value, str) else _refuse(value)


def _to_int(value: Any) -> int:
    if not _is_number_or_text(value) or (isinstance(value, float) and not value.is_integer()):
        return _refuse(value)
    return int(value)


def _to_float(value: Any) -> float:
    number = float(value) if _is_number_or_text(value) else _refuse(value)
    return number if isfinite(number) else _refuse(value)


def _is_number_or_text(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _refuse(value: Any) -> NoReturn:
    raise ValueError(value)


SCALARS: dict[Any, Callable[[Any], Any]] = {bool: _to_bool, str: _to_text, int: _to_int, float: _to_float}
