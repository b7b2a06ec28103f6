"""The command line. Commands import torch and rich when they run, so that listing and `--help` are instant."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from types import FrameType

import click

from ganzoo.core.errors import GanzooError, did_you_mean, memory_exhausted
from ganzoo.core.text import printable
from ganzoo.core.version import __version__

COMMANDS = (
    "train",
    "sweep",
    "sample",
    "walk",
    "directions",
    "arithmetic",
    "project",
    "film",
    "explore",
    "evaluate",
    "compare",
    "runs",
    "plot",
    "export",
    "pack",
    "models",
    "list",
    "info",
    "datasets",
    "new",
    "check",
    "doctor",
    "bench",
    "completion",
)
"""In the order of the help. Each is in the module of its name, which is imported when the command is used."""
SYNONYMS = {"create": "new", "generate": "sample", "init": "new"}
"""Words for our commands that other programs use."""


class Commands(click.Group):
    """A group that imports its commands when they are needed, and suggests one in place of an unknown one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"ganzoo.cli.{name}")
        command: click.Command = getattr(module, f"{name}_" if hasattr(module, f"{name}_") else name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            name = SYNONYMS.get(args[0], args[0])
            ctx.fail(f"No such command {args[0]!r}. {did_you_mean(name, COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ganzoo")
def cli() -> None:
    """Train, compare and extend generative adversarial networks.

    \b
    ganzoo list                           list the architectures
    ganzoo train cgan --dataset mnist     train one of them
    ganzoo sample runs/cgan-mnist-001     generate samples
    """


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. Not an Exception, so that no `except Exception` handles it."""

    def __init__(self, number: int):
        self.number = number


def main() -> None:
    """The `ganzoo` command. Exit codes: 0; 1, failure; 2, wrong usage; 128 + N, signal N: 130, Ctrl-C; 143, SIGTERM."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as it is under nohup
            signal.signal(number, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character the terminal lacks must not stop a training run
    if "_GANZOO_COMPLETE" in os.environ:
        importlib.import_module("ganzoo.cli.completion")  # how each shell completes
    sys.exit(_run())


def _run() -> int:
    try:
        code = cli.main(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, click.Abort):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left for a second Ctrl-C to stop
        return 128 + signal.SIGINT
    except Terminated as terminated:
        return 128 + terminated.number
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):
            error = _suggest_setting(error)
        text = io.StringIO()
        error.show(text)
        with contextlib.suppress(OSError):
            click.echo(printable(text.getvalue()), err=True, nl=False)
        return error.exit_code
    except GanzooError as error:
        if error.said_by_rank0:
            return error.exit_code
        return _fail(str(error), error.exit_code)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{place}")
    except (MemoryError, RuntimeError) as error:
        if not memory_exhausted(error):
            raise
        return _fail(f"Out of memory: {str(error).splitlines()[0]} Choose smaller images, networks, batches or counts.")


def _suggest_setting(error: click.NoSuchOption) -> click.NoSuchOption:
    """An error that explains `--set` if the unknown option is a setting or part of its name, else `error` itself."""
    word = error.option_name.lstrip("-").replace("-", "_")
    from ganzoo.core import config as configs
    from ganzoo.core.plugin import Config

    takes_settings = error.ctx is not None and any("--set" in parameter.opts for parameter in error.ctx.command.params)
    matches = [s.name for s in configs.settings(Config) if len(word) > 1 and word in s.name][:3]
    if not takes_settings or not matches:
        return error
    examples = " or ".join(f"--set {name}=VALUE" for name in matches)
    message = f"No such option {error.option_name!r}. To change a setting, write {examples}."
    return click.NoSuchOption(error.option_name, message, ctx=error.ctx)


def _fail(message: str, code: int = 1) -> int:
    with contextlib.suppress(OSError):
        click.echo(printable(f"Error: {message}"), err=True)
    return code


def _terminate(number: int, _: FrameType | None) -> None:
    raise Terminated(number)
