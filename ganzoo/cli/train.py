"""`ganzoo train ARCH --dataset NAME`."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ganzoo.cli import completions
from ganzoo.cli.overrides import key_values, read_toml
from ganzoo.cli.sections import F, SectionedCommand, SectionOption, apply, option_for
from ganzoo.core.config import settings
from ganzoo.core.entry_points import LOGGERS
from ganzoo.core.errors import GanzooError, PluginError, memory_exhausted
from ganzoo.core.paths import shell_word
from ganzoo.core.plugin import Config
from ganzoo.training.config import LENGTHS, OPTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from ganzoo.cli.console import Console
    from ganzoo.cli.progress import Progress
    from ganzoo.training.run import Run
    from ganzoo.training.session import Session

SHORTCUTS = [setting for setting in settings(Config) if setting.name in ("batch_size", "accumulate", "image_size")]
"""Settings of every architecture that are common enough for an option of their own."""
COMPLETIONS = {
    "dataset": completions.datasets, "logger": completions.names(LOGGERS), "init_from": completions.runs,
}  # fmt: skip
NOT_IN_FILES = ("config", "overrides", "dry_run", "as_json", "resume", "autoresume")


def _config_file(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    """Use the options of a TOML file as defaults of the command line."""
    if path is None:
        return
    known = {p.name: p for p in ctx.command.params if p.name and p.name not in NOT_IN_FILES}
    ctx.default_map, ctx.meta["settings"] = read_toml(path, known)


def _option(*declarations: str, section: str, **attributes: Any) -> Callable[[F], F]:
    return click.option(*declarations, cls=SectionOption, section=section, **attributes)


@click.command(cls=SectionedCommand)
@click.argument("architecture", required=False, metavar="[ARCH]", shell_complete=completions.architectures)
@apply(
    option_for(option, shell_complete=COMPLETIONS.get(name))
    for name, option in OPTIONS.items()
    if option.section == "Data"
)
@apply(option_for(setting, section="Model", help=setting.help) for setting in SHORTCUTS)
@_option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", section="Model", shell_complete=completions.settings,
    help="change a setting; see `ganzoo info ARCH`",
)  # fmt: skip
@_option(
    "--recipe", metavar="NAME", section="Model", shell_complete=completions.recipes,
    help="settings for some data; see `ganzoo info ARCH`",
)  # fmt: skip
@apply(
    option_for(option, shell_complete=COMPLETIONS.get(name))
    for name, option in OPTIONS.items()
    if option.section not in ("", "Data", "Run")
)
@_option("--nproc", type=click.IntRange(min=1), metavar="N", section="Compute", help="train with N processes")
@_option(
    "--out",
    metavar="DIR",
    section="Run",
    help="run directory, new or empty, or s3://... (default runs/ARCH-DATASET-001 ...)",
)
@apply(
    option_for(option, shell_complete=COMPLETIONS.get(name))
    for name, option in OPTIONS.items()
    if option.section == "Run"
)
@_option(
    "--resume", metavar="RUN", section="Run", shell_complete=completions.runs,
    help="continue a run exactly from its last checkpoint",
)  # fmt: skip
@_option("--autoresume", is_flag=True, section="Run", help="continue the run in --out if there is one")
@_option(
    "--config", is_eager=True, expose_value=False, callback=_config_file, metavar="FILE.toml", section="Run",
    help="options from a file, settings in its table [set]; the command line wins",
)  # fmt: skip
@_option("--dry-run", is_flag=True, section="Run", help="check everything and show it; write nothing")
@_option("--json", "as_json", is_flag=True, section="Run", help="print one JSON object; progress goes to stderr")
@click.pass_context  # type: ignore[arg-type]  # click passes the options by name
def train(ctx: click.Context, **options: Any) -> None:
    """Train an architecture. ARCH is a name from `ganzoo list`, or FILE.py:CLASS.

    \b
    ganzoo train cgan --dataset mnist
    ganzoo train wgan --dataset mnist --set penalty=gradient --minutes 5
    ganzoo train --resume runs/cgan-mnist-001 --steps 20000
    ganzoo train cgan --dataset mnist --out runs/job --autoresume     # continues if it exists
    """
    lengths = [name for name in LENGTHS if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if len(lengths) > 1:
        raise click.UsageError(f"Give one of {' and '.join('--' + name for name in lengths)}.")
    if lengths:  # a length on the command line replaces the one in a file
        options |= {name: None for name in LENGTHS if name not in lengths}
    shortcuts = {s.name: options.pop(s.name) for s in SHORTCUTS}
    shortcuts = {name: value for name, value in shortcuts.items() if value is not None}
    options["settings"] = ctx.meta.get("settings", {}) | shortcuts | key_values(options.pop("overrides"))
    dry_run, as_json, nproc = (options.pop(name) for name in ("dry_run", "as_json", "nproc"))

    from ganzoo import api
    from ganzoo.cli import launch

    if hasattr(signal, "SIGUSR1") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # it asks for a checkpoint: see training/interrupts.py
    if dry_run:
        return _show(api.prepare(**options), as_json)
    if nproc and not launch.launched():
        session = api.prepare(**options)
        settings = session.settings
        ctx.exit(launch.launch(nproc, settings.batch_size, settings.accumulate, settings.pack))
    if not options["autoresume"]:
        options["resume"], options["out"] = launch.after_restart(options["resume"], options["out"])
    _train(options, as_json)


def _train(options: Mapping[str, Any], as_json: bool) -> None:
    from ganzoo import api
    from ganzoo.cli.console import Console
    from ganzoo.cli.launch import is_first_rank
    from ganzoo.cli.progress import Progress
    from ganzoo.training.run_config import architecture_name

    console = Console(stderr=as_json, highlight=False, quiet=not is_first_rank())
    progress = Progress(console)
    began = time.monotonic()
    try:
        api.train(**options, callbacks=[progress])
    except (KeyboardInterrupt, SystemExit):
        if progress.training is not None and progress.saved_step is not None:
            console.print(f"Stopped. The checkpoint of step {progress.saved_step:,} is saved.")
            console.print_line(f"Resume with: ganzoo train --resume {shell_word(progress.training.run.label)}")
            _warn_of_alarms(progress.training.run, console)
        raise
    except Exception as failure:  # a plugin's code may raise anything; the whole traceback is shown
        training = progress.training
        name = options["architecture"] if training is None else architecture_name(training.run.config)
        if name is None or memory_exhausted(failure) or isinstance(failure, (GanzooError, OSError)):
            raise
        raise PluginError(
            f"Training {name} failed:\n\n{traceback.format_exc().rstrip()}\n\n"
            f"To check the architecture, run: ganzoo check {shell_word(name)}"
        ) from failure
    if is_first_rank():
        _summarize(progress, console, time.monotonic() - began, as_json)


def _summarize(progress: Progress, console: Console, elapsed: float, as_json: bool) -> None:
    training = progress.training
    assert training is not None, "training has ended without an error"
    run, step = training.run, progress.saved_step or 0
    last = [{"step": step, "images": 0, "seconds": 0.0}, *run.metrics()][-1]
    speed = last["images"] / max(last["seconds"], 1e-9)
    if as_json:
        result = {
            "run": run.label,
            "steps": last["step"],
            "images": last["images"],
            "images_per_second": round(speed, 1),
            "seconds": last["seconds"],
            "elapsed_seconds": round(elapsed, 3),
            "samples": _place(run, run.grid),
            "alarms": [dataclasses.asdict(alarm) for alarm in run.alarms()],
        }
        return click.echo(json.dumps(result))
    if training.state.step > progress.first_step:
        console.print(f"Trained {last['step']:,} steps in {last['seconds']:.0f} s, {speed:,.0f} images/s.\n")
    progress.draw_preview()
    console.print_line(f"\nSamples  {_place(run, run.grid)}")
    console.print_line(f"Run      {run.label}")
    console.print_line(f"Next     ganzoo sample {shell_word(run.label)}")
    _warn_of_alarms(run, console)


def _place(run: Run, file: Path | None) -> str:
    """Where a file of the run is for the user: on object storage, if the run is."""
    return str(file) if file is None or run.remote is None else f"{run.label}/{file.relative_to(run.path)}"


def _warn_of_alarms(run: Run, console: Console) -> None:
    """Name the alarms of a training, if there were any, as the last thing that it prints."""
    from ganzoo.cli.console import escape

    alarms = run.alarms()
    if alarms:
        names = ", ".join(dict.fromkeys(alarm.name for alarm in alarms))
        count = f"{len(alarms)} alarms" if len(alarms) > 1 else "1 alarm"
        console.print(f"\n[bold red]Warning:[/] {count} ({names}); see {_place(run, run.alarms_file)}", soft_wrap=True)
        console.print_prose(escape(f"The first: {alarms[0]}"))


def _show(session: Session, as_json: bool) -> None:
    import torch

    with torch.random.fork_rng():
        gan = session.build()
    networks = {
        name: sum(parameter.numel() for parameter in getattr(gan, name).parameters())
        for name in ("generator", "discriminator")
    }
    result = {**session.run_config, "parameters": networks}
    if as_json:
        return click.echo(json.dumps(result, indent=2))
    from ganzoo.cli.console import Console, table
    from ganzoo.core.config import flatten, format_value

    rows = [(name, format_value(value)) for name, value in flatten(result).items()]
    Console().print(table(("would be trained", ""), rows))
