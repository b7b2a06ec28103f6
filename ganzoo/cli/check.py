"""`ganzoo check ARCHITECTURE`, `ganzoo check --dataset NAME` and `ganzoo check --loss NAME`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ganzoo.cli import completions
from ganzoo.cli.overrides import key_values
from ganzoo.core.entry_points import LOSSES

if TYPE_CHECKING:
    from rich.table import Table

    from ganzoo.testing import Result


@click.command()
@click.argument("name", metavar="[ARCHITECTURE]", required=False, shell_complete=completions.architectures)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completions.datasets,
    help="Check a data set instead. Loads it, which may download it.",
)
@click.option("--loss", metavar="NAME", shell_complete=completions.names(LOSSES), help="Check a loss instead.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completions.settings,
    help="Check with this setting changed; repeat for several.",
)
@click.pass_context
def check(
    ctx: click.Context, name: str | None, dataset: str | None, loss: str | None, overrides: tuple[str, ...]
) -> None:
    """Check an architecture, data set or loss against the contract.

    \b
    ganzoo check cgan
    ganzoo check cgan --set networks=mlp
    ganzoo check ./mygan.py:MyGAN
    ganzoo check --dataset folder:photos
    ganzoo check --loss hinge

    Exits with 1 if any check fails that the plugin does not list in its expected_failures.
    """
    if dataset is not None and (name is not None or overrides):
        raise click.UsageError("--dataset NAME cannot be combined with an architecture or --set.")
    if loss is not None and (name is not None or dataset is not None or overrides):
        raise click.UsageError("--loss NAME cannot be combined with an architecture, --dataset or --set.")
    from ganzoo import testing
    from ganzoo.cli.console import Console

    if dataset is not None:
        checks = testing.dataset_checks(dataset)
    elif loss is not None:
        checks = testing.loss_checks(loss)
    elif name is not None:
        checks = testing.architecture_checks(name, **key_values(overrides))
    else:
        raise click.UsageError("Give the name of an architecture, --dataset NAME or --loss NAME.")
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
