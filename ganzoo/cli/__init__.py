"""The command line. Commands import torch and rich only when they run, so that listing and `--help` are instant."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from types import FrameType

import click

from ganzoo import __version__
from ganzoo.cli.bench import bench
from ganzoo.cli.check import check
from ganzoo.cli.compare import compare
from ganzoo.cli.completion import completion
from ganzoo.cli.datasets import datasets
from ganzoo.cli.doctor import doctor
from ganzoo.cli.evaluate import evaluate
from ganzoo.cli.info import info
from ganzoo.cli.list import list_
from ganzoo.cli.new import new
from ganzoo.cli.sample import sample
from ganzoo.cli.train import train
from ganzoo.core.errors import GanzooError, did_you_mean, no_memory


class Commands(click.Group):
    """A group that tells the nearest command for a word it does not know."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command {args[0]!r}. {did_you_mean(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ganzoo")
def cli() -> None:
    """Train, compare and extend generative adversarial networks.

    \b
    ganzoo list                           the architectures
    ganzoo train cgan --dataset mnist     train one
    ganzoo sample runs/cgan-mnist-001     draw samples from it
    """


for command in (train, sample, evaluate, compare, list_, info, datasets, new, check, doctor, bench, completion):
    cli.add_command(command)


class Terminated(BaseException):
    """SIGTERM arrived. Not an Exception, so that nothing on the way takes it for a failure of its own."""


def main() -> None:
    """The `ganzoo` command. Exit codes: 0, 1 for a failure, 2 for wrong usage, 130 and 143 for Ctrl-C and SIGTERM."""
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without a letter must not end a training
    sys.exit(_run())


def _run() -> int:
    try:
        code = cli.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, click.Abort):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C has nothing left to stop
        return 128 + signal.SIGINT
    except Terminated:
        return 128 + signal.SIGTERM
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except GanzooError as error:
        if os.environ.get("RANK", "0") != "0" and error.on_every_rank:
            return error.exit_code  # rank 0 says it
        return _fail(str(error), error.exit_code)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{place}")
    except (MemoryError, RuntimeError) as error:
        if not no_memory(error):
            raise
        return _fail(f"Out of memory: {str(error).splitlines()[0]} Choose smaller images, networks, batches or counts.")


def _fail(message: str, code: int = 1) -> int:
    with contextlib.suppress(OSError):
        click.echo(f"Error: {message}", err=True)
    return code


def _terminate(number: int, _: FrameType | None) -> None:
    raise Terminated
