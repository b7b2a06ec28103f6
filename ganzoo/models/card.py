"""The card of a model: where it comes from and how good it is, as Markdown."""

from __future__ import annotations

from ganzoo.core import registry
from ganzoo.core.config import format_value
from ganzoo.core.errors import GanzooError
from ganzoo.data.modality import get_modality
from ganzoo.evaluation.results import BETTER, Evaluation, format_number, protocol_lines
from ganzoo.training.repeat import command
from ganzoo.training.run import Run


def card(run: Run, evaluation: Evaluation, step: int, precision: str) -> str:
    """The card of `run` at `step`, with the figures of `evaluation`; `precision` describes the stored weights."""
    config = run.config
    data = config["dataset"]
    examples = f"{data['images']:,} {get_modality(run.spec.kind).noun}"
    facts = {
        "architecture": f"{config['architecture']} from {config['distribution']}",
        "data": f"{data['name']}, {examples} of the split {data.get('split', 'train')}",
        "origin and licence of the data": source(data["name"]),
        "sha256 of the data": data.get("sha256", "unknown"),
        "steps": f"{step:,}",
        "seed": str(config["seed"]),
        "trained on": f"{config['device']}, {config['precision']}, {config.get('ranks', 1)} process(es) "
        f"of {config.get('threads', 1)} thread(s)",
        "versions": ", ".join(f"{name} {version}" for name, version in config.get("versions", {}).items()),
        "weights": precision,
    }
    if config.get("init_from") is not None:
        digest = config.get("warm_start", {}).get("sha256", "unknown")
        facts["began with the weights of"] = f"{config['init_from']}, sha256 {digest}"
    lines = ["## How it was made", "", "```sh", command(config, step), "```", "", "| | |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in facts.items()]
    lines += ["", "## How good it is", ""]
    if evaluation.verdicts:
        lines += [*evaluation.verdicts, ""]
    lines += ["| metric | value | real data | better |", "|---|---|---|---|"]
    for name, figure in evaluation.figures.items():
        value, real = format_number(figure["value"]), format_number(figure.get("real"))
        lines.append(f"| {_cell(name)} | {value} | {real} | {BETTER[figure['better']]} |")
    lines += ["", "Measured on these weights:", ""]
    lines += [f"- {line.strip()}" for line in protocol_lines(evaluation)]
    if evaluation.skipped:
        lines += ["", f"Metrics that do not apply: {', '.join(sorted(evaluation.skipped))}."]
    lines += ["", "![Samples](samples.png)", "", "*The newest sample grid of the training; none was chosen.*", ""]
    return "\n".join(lines)


def description(run: Run) -> str:
    """One line about a model."""
    settings = run.config["settings"]
    notable = [f"{name} {format_value(settings[name])}" for name in ("loss", "penalty") if name in settings]
    data = run.config["dataset"]
    shape = "x".join(map(str, run.spec.shape))
    return f"{run.config['architecture']} trained on {data['name']}, {run.spec.kind} of {shape}; {', '.join(notable)}"


def source(dataset: str) -> str:
    """Origin and licence of a data set, as its card states them."""
    try:
        return registry.get_dataset(dataset)[0].source
    except GanzooError:
        return "unknown: its plugin is not installed"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
