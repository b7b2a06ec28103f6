"""`ganzoo explore`: a page in the browser to look at runs, watch training and play with generators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ganzoo.cli import completions
from ganzoo.cli.overrides import key_values
from ganzoo.core import models
from ganzoo.core.errors import UsageError
from ganzoo.core.paths import user_path

if TYPE_CHECKING:
    from ganzoo.training.session import Session


@click.command()
@click.argument("target", required=False, metavar="[RUN|DIR|MODEL]", shell_complete=completions.runs)
@click.option(
    "--train", "architecture", metavar="ARCH", shell_complete=completions.architectures,
    help="Train this architecture in the page, step by step if you like; nothing is written to disk.",
)  # fmt: skip
@click.option(
    "--dataset", metavar="NAME", shell_complete=completions.datasets,
    help="With --train: data set; points such as ring are drawn in the plane.  [default: ring]",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", shell_complete=completions.settings,
    help="With --train: change a setting.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0, (1 << 32) - 1), help="With --train: random seed.  [default: 0]")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="[default: auto]")
@click.option("--data-dir", metavar="DIR", help="Directory that already contains the data files (or GANZOO_DATA).")
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
    help="Address to listen on. Anyone who can reach it and has the token can use the page.",
)  # fmt: skip
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0 is any free one.  [default: 8642 or the next free]"
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser of this machine.")
def explore(
    target: str | None, architecture: str | None, dataset: str | None, overrides: tuple[str, ...], seed: int | None,
    device: str | None, data_dir: str | None, host: str, port: int | None, open_browser: bool,
) -> None:  # fmt: skip
    """Watch training and play with generators in the browser.

    \b
    ganzoo explore                                 # the runs in ./runs
    ganzoo explore runs/dcgan-mnist-001            # one of them
    ganzoo explore --train wgan --dataset ring     # train on points, and watch

    The page is served to this machine only, to whoever has the address that is printed. It writes nothing to disk.
    """
    from ganzoo.explore import serving

    serving.require_extra()
    options = {"dataset": dataset, "seed": seed}
    if architecture is None and (overrides or any(value is not None for value in options.values())):
        raise click.UsageError("--dataset, --set and --seed need --train ARCH.")
    root = user_path(target or "runs", "a directory of runs")
    if target is not None and not root.is_dir():
        root = models.find(target) or root
    if not root.is_dir() and (target is not None or architecture is None):
        hint = models.hint(target) if target else " Train something first: ganzoo train cgan --dataset digits"
        raise UsageError(f"There is no directory {root}.{hint}")
    session = None
    if architecture is not None:
        session = _session(architecture, dataset or "ring", key_values(overrides), seed, device, data_dir)

    def announce(address: str) -> None:
        click.echo(f"Open {address}\nPress Ctrl-C to stop the server.")
        if open_browser:
            click.launch(address)

    serving.serve(root, session, host, port, announce, device)


def _session(
    architecture: str,
    dataset: str,
    settings: dict[str, str],
    seed: int | None,
    device: str | None,
    data_dir: str | None,
) -> Session:
    from ganzoo.training.session import Session

    given = {
        "architecture": architecture, "dataset": dataset, "seed": seed, "device": device, "data_dir": data_dir
    }  # fmt: skip
    return Session.new({name: value for name, value in given.items() if value is not None}, settings)
