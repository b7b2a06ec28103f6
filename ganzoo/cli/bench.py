"""`ganzoo bench`: the native kernels against PyTorch and inference engines on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli import completions
from ganzoo.core.version import __version__

if TYPE_CHECKING:
    from ganzoo_benchmarks.cases import Result
    from ganzoo_benchmarks.timing import Turns

PACKAGES = ("torch", "onnxruntime", "openvino")


@click.command()
@click.argument("run", required=False, shell_complete=completions.runs)
@click.option(
    "--case",
    "patterns",
    multiple=True,
    metavar="NAME",
    help="Only this case, or pattern such as *.inference.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=9,
    show_default=True,
    help="Turns per contestant.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def bench(run: str | None, patterns: tuple[str, ...], rounds: int, as_json: bool) -> None:
    """Compare the native kernels with other implementations.

    With RUN, the directory of a run: its own networks, generating a batch and a single image and in a training step on
    the run's data, against eager PyTorch and torch.compile.

    The contestants take turns in one process, with the same number of threads, and their medians are compared. Turns
    during which another program used the machine are ignored, unless too few would remain.

    Without RUN, the cases are the blocks up512, up256, up128, down64, down128, down256, same64, same128, same256,
    same512, patch64, upsample256 and downsample256, each with .inference (batch 64), .forward and .backward (batch
    128), generator.64, generator.1, and training-step; where the processor has products of bfloat16 also
    generator-bf16.64, generator-bf16.1 and training-step-bf16.

    \b
    ganzoo bench --case up512.backward --case 'same*.inference'
    ganzoo bench runs/dcgan-mnist-001
    """
    from ganzoo_benchmarks.cases import chosen, race, require_native

    require_native()
    if run is None:
        cases = chosen(patterns)
    else:
        from ganzoo_benchmarks import runs

        cases = chosen(patterns, runs.cases(run))
    machine = _machine()
    if as_json:
        rows = [_row(race(case, rounds)) for case in cases]
        click.echo(json.dumps({"machine": machine, "rounds": rounds, "cases": rows}, indent=2))
        return
    from ganzoo.cli.console import Console, escape

    console = Console()
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), highlight=False)
    for case in cases:
        # without a spinner, whose thread would compete with the contestants
        console.print(f"\n[bold]{case.name}[/]: {case.what}, batch {case.batch}", highlight=False)
        result = race(case, rounds)
        console.print(_table(result))
        if result.turns.disturbed:
            console.print(_disturbed(result.turns), highlight=False)
        for name, reason in result.left_out.items():
            console.print(escape(f"{name} did not run: {reason}"), highlight=False)


def _table(result: Result) -> Any:
    from ganzoo.cli.console import table

    rows = []
    for name, seconds in result.seconds.items():
        rate = result.rate(name)
        figures = f"{seconds * 1e3:.4g}", f"{rate / 1e9:.0f}", f"{rate / result.peak:.2f}", f"{result.ratio(name):.2f}"
        rows.append((name, *figures))
    rows.append(("peak of multiply-adds", "", f"{result.peak / 1e9:.0f}", "1.00", ""))
    return table(("contestant", "ms", "GF/s", "of peak", "times native's ms"), rows)


def _disturbed(turns: Turns) -> str:
    ignored = "these turns are ignored" if turns.counted < turns.total else "too many to ignore"
    return f"Another program used the machine during {turns.disturbed} of {turns.total} turns: {ignored}."


def _row(result: Result) -> dict[str, object]:
    return {
        "case": result.case.name,
        "what": result.case.what,
        "batch": result.case.batch,
        "gflop": result.operations / 1e9,
        "peak_gflops": result.peak / 1e9,
        "turns": result.turns.total,
        "disturbed": result.turns.disturbed,
        "counted": result.turns.counted,
        "contestants": {
            name: {
                "ms": seconds * 1e3,
                "gflops": result.rate(name) / 1e9,
                "share_of_peak": result.rate(name) / result.peak,
                "against_native": result.ratio(name),
            }
            for name, seconds in result.seconds.items()
        },
        "did_not_run": result.left_out,
    }


def _machine() -> dict[str, object]:
    """Versions and settings that the figures depend on."""
    import importlib.metadata
    import importlib.util

    import torch

    from ganzoo.ops import cpu_library

    versions = {"ganzoo": __version__}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(name)}
    versions["torch"] = torch.__version__  # with the suffix of its build, such as +cpu
    return {"kernels": cpu_library.instruction_set(), "threads": torch.get_num_threads(), **versions}
