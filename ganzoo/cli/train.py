"""`ganzoo train ARCH --dataset NAME`."""

from __future__ import annotations

import json
import time
import traceback
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ganzoo.cli import completions
from ganzoo.cli.overrides import key_values, read_toml
from ganzoo.core.errors import GanzooError, PluginError, no_memory

if TYPE_CHECKING:
    from ganzoo.training.config import Plan, Request
    from ganzoo.training.run import Run

LENGTHS = ("steps", "epochs", "minutes")
SETTINGS = ("batch_size", "accumulate", "image_size")


def _config_file(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    """Let the options of a TOML file stand in for the command line's defaults."""
    if path is None:
        return
    not_in_files = ("config", "overrides", "dry_run", "as_json", "resume")
    known = {p.name: p.type for p in ctx.command.params if p.name and p.name not in not_in_files}
    options, settings = read_toml(path, known)
    ctx.default_map = options
    ctx.meta["settings"] = settings


@click.command()
@click.argument("architecture", required=False, shell_complete=completions.architectures)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completions.datasets,
    help="A data set from `ganzoo datasets`, such as mnist or folder:PATH.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Train for this many generator steps,")
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), help="or passes over the data,")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="or minutes.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Images per step.")
@click.option(
    "--accumulate", type=click.IntRange(min=1), metavar="N", help="Take each batch in N parts, to save memory."
)
@click.option("--image-size", type=click.IntRange(min=1), help="Resize images to this many pixels a side.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completions.settings,
    help="Change a setting; see `ganzoo info ARCH`.",
)
@click.option(
    "--config", is_eager=True, expose_value=False, callback=_config_file, metavar="FILE.toml",
    help="Options from a file; architecture settings in its table [set]. The command line wins.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), help="Of everything random.  [default: 0]")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to train.  [default: auto]")
@click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16", "fp16"]), help="[default: fp32]")
@click.option(
    "--cuda-graph/--no-cuda-graph", default=None,
    help="Replay each step on a GPU from one captured graph.  [default: where it works]",
)  # fmt: skip
@click.option("--out", metavar="DIR", help="Run directory, new or empty.  [default: runs/ARCH-DATASET-001, -002, ...]")
@click.option("--checkpoint-every", type=click.IntRange(min=1), metavar="N", help="[default: 1000 steps]")
@click.option("--sample-every", type=click.IntRange(min=1), metavar="N", help="[default: 500 steps]")
@click.option(
    "--evaluate-every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure, and keep the best checkpoint.  [default: never]",
)
@click.option(
    "--best-by", metavar="METRIC",
    help="... by this metric.  [default: the first of psnr, frechet, optimal_discriminator and swd that applies]",
)  # fmt: skip
@click.option(
    "--resume",
    metavar="RUN",
    shell_complete=completions.runs,
    help="Continue a run exactly where its last checkpoint stands.",
)
@click.option("--nproc", type=click.IntRange(min=1), metavar="N", help="Train with N processes on this machine.")
@click.option("--data-dir", metavar="DIR", help="Where data files already are (or GANZOO_DATA).")
@click.option("--dry-run", is_flag=True, help="Check everything, show what would be trained, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout; progress goes to stderr.")
@click.pass_context  # type: ignore[arg-type]  # click passes the options by name
def train(
    ctx: click.Context,
    dry_run: bool,
    as_json: bool,
    resume: str | None,
    out: str | None,
    nproc: int | None,
    **options: Any,
) -> None:
    """Train the architecture ARCH.

    \b
    ganzoo train cgan --dataset mnist
    ganzoo train wgan --dataset mnist --set penalty=gradient --minutes 5
    ganzoo train --resume runs/cgan-mnist-001 --steps 20000
    """
    given = [name for name in LENGTHS if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if len(given) > 1:
        raise click.UsageError(f"Give one of {' and '.join('--' + name for name in given)}.")
    if given:
        options |= {name: None for name in LENGTHS if name not in given}
    if resume is not None and out:
        raise click.UsageError("A resumed run stays where it is: give --resume or --out, not both.")
    settings = ctx.meta.get("settings", {})
    settings |= {name: options[name] for name in SETTINGS if options[name] is not None}
    settings |= key_values(options.pop("overrides"))
    for name in SETTINGS:
        options.pop(name)

    from ganzoo.cli import launch
    from ganzoo.core import distributed
    from ganzoo.training import config as plans
    from ganzoo.training.run import Run

    request = plans.Request(settings=settings, **options)
    if dry_run or (nproc and not launch.launched()):
        plan = plans.make(request if resume is None else plans.merge(Run.open(resume).config, request))
        if dry_run:
            return _show(plan, as_json)
        ctx.exit(launch.launch(nproc or 1, plan.config.batch_size, plan.config.accumulate))
    resume, out = launch.after_restart(resume, out)
    with distributed.process_group():
        _train(request, resume, out, as_json)


def _train(request: Request, resume: str | None, out: str | None, as_json: bool) -> None:
    from ganzoo import api
    from ganzoo.cli.console import Console
    from ganzoo.cli.progress import Progress
    from ganzoo.core import distributed
    from ganzoo.training import config as plans
    from ganzoo.training.run import Run

    console = Console(stderr=as_json, highlight=False, quiet=distributed.rank() > 0)
    progress = Progress(console)
    began = time.monotonic()
    try:
        if resume is not None:
            run = api.proceed(Run.open(resume), request, progress)
        else:
            run = api.start(plans.make(request), out, progress)
    except (KeyboardInterrupt, SystemExit):
        if progress.run is not None and progress.saved is not None:
            console.print(f"Stopped; the checkpoint of step {progress.saved:,} is saved.")
            console.tell(f"Continue with: ganzoo train --resume {progress.run.path}")
        raise
    except Exception as failure:  # networks are anybody's code and may raise anything; the whole cause is shown
        name = request.architecture if progress.run is None else progress.run.config["architecture"]
        if name is None or no_memory(failure) or isinstance(failure, (GanzooError, OSError)):
            raise
        raise PluginError(
            f"The training of {name} failed in code:\n\n{traceback.format_exc().rstrip()}\n\n"
            f"What an architecture must keep to is checked by: ganzoo check {name}"
        ) from failure
    if distributed.rank() == 0:
        _conclude(run, progress.saved or 0, console, time.monotonic() - began, as_json)


def _conclude(run: Run, step: int, console: Any, elapsed: float, as_json: bool) -> None:
    last = [{"step": step, "images": 0, "seconds": 0.0}, *run.metrics()][-1]
    grid = run.grid
    if as_json:
        result = {
            "run": str(run.path),
            "steps": last["step"],
            "images": last["images"],
            "images_per_second": round(last["images"] / max(last["seconds"], 1e-9), 1),
            "seconds": last["seconds"],
            "elapsed_seconds": round(elapsed, 3),
            "samples": str(grid),
        }
        return click.echo(json.dumps(result))
    from ganzoo import api
    from ganzoo.cli.terminal import PREVIEW, draw

    speed = last["images"] / max(last["seconds"], 1e-9)
    console.print(f"Trained {last['step']:,} steps in {last['seconds']:.0f} s, {speed:,.0f} images/s.\n")
    gan = api.load(run.path, "cpu")
    if gan.paired:
        shown = api.generate_from_inputs(gan, run, min(5, run.config["dataset"]["images"]), split="train", seed=0)
    else:
        shown = {gan.spec.kind: gan.sample(PREVIEW[gan.spec.kind], seed=0)}
    draw(list(shown.values()), gan.spec, console)
    console.tell(f"\nSamples  {grid}")
    console.tell(f"Run      {run.path}")
    console.tell(f"Go on    ganzoo sample {run.path}")


def _show(plan: Plan, as_json: bool) -> None:
    import dataclasses

    import torch

    with torch.random.fork_rng():
        gan = plan.build()
    networks = {
        name: sum(p.numel() for p in getattr(gan, name).parameters()) for name in ("generator", "discriminator")
    }
    result = {**plan.identity, "schedule": dataclasses.asdict(plan.schedule), "parameters": networks}
    if as_json:
        return click.echo(json.dumps(result, indent=2))
    from ganzoo.cli.console import Console, table
    from ganzoo.core.config import format_value
    from ganzoo.training.config import flat

    Console().print(
        table(("what would be trained", ""), [(name, format_value(value)) for name, value in flat(result).items()])
    )
