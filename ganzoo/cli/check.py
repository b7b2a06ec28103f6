"""`ganzoo check ARCHITECTURE`, `ganzoo check --dataset NAME`, `ganzoo check --loss NAME`, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli import completions
from ganzoo.cli.overrides import key_values
from ganzoo.cli.repeated import Command
from ganzoo.core.entry_points import (
    AUGMENTATIONS,
    DATASETS,
    KINDS,
    LOGGERS,
    LOSSES,
    METRICS,
    MODALITIES,
    MODELS,
    PENALTIES,
)

if TYPE_CHECKING:
    from rich.table import Table

    from ganzoo.testing import Result


OTHERS = {
    "dataset": DATASETS,
    "loss": LOSSES,
    "penalty": PENALTIES,
    "augmentation": AUGMENTATIONS,
    "metric": METRICS,
    "logger": LOGGERS,
    "modality": MODALITIES,
    "model": MODELS,
}
"""The options that name another plugin than an architecture, and their groups of entry points."""


def _options(command: Any) -> Any:
    """An option for each kind of plugin in OTHERS."""
    for name, group in reversed(OTHERS.items()):
        text = f"Check {_a(KINDS[group])} instead."
        text += " Loads it, which may download it." if name == "dataset" else ""
        complete = completions.names(group)
        command = click.option(f"--{name}", metavar="NAME", shell_complete=complete, help=text)(command)
    return command


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


@click.command(cls=Command)
@click.argument("name", metavar="[ARCHITECTURE]", required=False, shell_complete=completions.architectures)
@_options
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completions.settings,
    help="Check with this setting changed; repeat for several.",
)
@click.pass_context
def check(ctx: click.Context, /, name: str | None, overrides: tuple[str, ...], **others: str | None) -> None:
    """Check an architecture or another plugin against the contract.

    \b
    ganzoo check cgan
    ganzoo check cgan --set networks=mlp
    ganzoo check ./mygan.py:MyGAN
    ganzoo check --dataset folder:photos
    ganzoo check --loss hinge

    Exits with 1 if any check fails that the plugin does not list in its expected_failures.
    """
    named = {option: value for option, value in others.items() if value is not None}
    if named and (name is not None or overrides or len(named) > 1):
        raise click.UsageError(f"--{next(iter(named))} NAME cannot be combined with another plugin or --set.")
    if name is None and not named:
        options = [f"--{option} NAME" for option in OTHERS]
        raise click.UsageError(f"Give the name of an architecture, {', '.join(options[:-1])} or {options[-1]}.")
    from ganzoo import testing
    from ganzoo.cli.console import Console

    if name is not None:
        checks = testing.architecture_checks(name, **key_values(overrides))
    else:
        ((option, value),) = named.items()
        checks = getattr(testing, f"{option}_checks")(value)
    console = Console(highlight=False)
    counts = {"ok": 0, "expected": 0, "failed": 0}
    for result in testing.without_repetitions(map(testing.run, checks)):
        console.print(_line(result))
        counts[result.status] += 1
    total, passed = sum(counts.values()), counts["ok"]
    expected = f", {counts['expected']} failed as expected" if counts["expected"] else ""
    console.print(f"\n{'All' if passed == total else f'{passed} of'} {total} checks passed{expected}.")
    ctx.exit(1 if counts["failed"] else 0)


def _line(result: Result) -> Table:
    """One check as a line: status, name, and its summary or its error."""
    from rich.table import Table

    from ganzoo.cli.console import escape

    if result.error is None:
        text = result.check.rule.summary
    elif result.status == "expected":
        text = f"failed as expected: {result.check.expected_failure}"
    else:
        text = str(result.error)
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=8, style={"ok": "green", "failed": "bold red", "expected": "yellow"}[result.status])
    line.add_column(width=18, style="cyan")
    line.add_column(overflow="fold")
    line.add_row(result.status, result.check.name, escape(text))
    return line
