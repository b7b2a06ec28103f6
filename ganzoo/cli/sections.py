"""Command-line options derived from settings, and help texts in sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from ganzoo.cli.repeated import Command
from ganzoo.core.config import Setting, describe

F = TypeVar("F", bound=Callable[..., Any] | click.Command)


class SectionOption(click.Option):
    """An option that the help text lists under `section`."""

    def __init__(self, *arguments: Any, section: str, **options: Any):
        super().__init__(*arguments, **options)
        self.section = section

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Leave out ranges such as [x>=1]: a value out of range is refused with its range."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


class SectionedCommand(Command):
    """A command whose help text groups options by their section, in the order of declaration."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "Help"), []).append(record)
        sections["Help"] = sections.pop("Help", [])
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


def option_for(setting: Setting, **attributes: Any) -> Callable[[F], F]:
    """The option `--NAME` for `setting`. Its value is None unless it is given: defaults are the setting's own."""
    name, kind = setting.name.replace("_", "-"), _alternatives(setting.type)[0]
    attributes = {
        "section": setting.section,
        "type": _click_type(setting),
        "default": None,
        "help": describe(setting),
        "metavar": setting.metavar or {int: "N", float: "X"}.get(kind),
        **attributes,
    }
    if get_origin(kind) is tuple:
        attributes |= {"multiple": True, "callback": lambda ctx, parameter, values: list(values) or None}
    return click.option(f"--{name}/--no-{name}" if kind is bool else f"--{name}", cls=SectionOption, **attributes)


def apply(options: Iterable[Callable[[F], F]]) -> Callable[[F], F]:
    """A decorator that adds several options, listed in this order."""

    def decorate(function: F) -> F:
        for option in reversed(list(options)):
            function = option(function)
        return function

    return decorate


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """The types a value may have, without None: `int | None` -> (int,)."""
    if get_origin(kind) in (None, Literal, tuple):
        return (kind,)
    return tuple(inner for inner in get_args(kind) if inner is not type(None))


def _click_type(setting: Setting) -> Any:
    kind = _alternatives(setting.type)[0]
    if kind is int:
        least, most = (None if bound is None else int(bound) for bound in (setting.ge, setting.le))
        return click.IntRange(least, most)
    if kind is float:
        low = setting.gt if setting.ge is None else setting.ge
        return click.FloatRange(low, setting.le, min_open=setting.gt is not None)
    if get_origin(kind) is Literal:
        return click.Choice([str(choice) for choice in get_args(kind)])
    return None if kind is bool else str
