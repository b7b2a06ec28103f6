"""Quality of all architectures on MNIST, with their default settings and about ten minutes of training on two cores.

    python benchmarks/quality/mnist.py runs/mnist
    python benchmarks/quality/mnist.py runs/mnist --only wgan,wgan-gp

Trains every row for a fixed number of steps and compares 10,000 samples of its moving average with the test images.
Writes the table as mnist.md and mnist.csv and twelve samples per row as mnist.png, next to the runs. Finished runs and
existing results are reused.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from cached_runs import trained

import ganzoo
from ganzoo.data import imaging
from ganzoo.evaluation import evaluate
from ganzoo.evaluation.results import read
from ganzoo.gan import GAN
from ganzoo.training.run import Run


@dataclass(frozen=True)
class Row:
    architecture: str
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)


ROWS = {
    "vanilla": Row("vanilla", 30_000),
    "dcgan": Row("dcgan", 5_000),
    "cgan": Row("cgan", 4_000),
    "acgan": Row("acgan", 4_000),
    "lsgan": Row("lsgan", 6_000),
    "infogan": Row("infogan", 5_000),
    "wgan": Row("wgan", 8_000),
    "wgan-gp": Row("wgan", 4_000, {"penalty": "gradient"}),
    "r3gan": Row("r3gan", 8_000),
}
FORMATS = {"frechet": ".1f", "kid": ".4f", "precision": ".3f", "recall": ".3f", "class_entropy": ".3f",
           "label_accuracy": ".3f", "code_purity": ".3f"}  # fmt: skip
SAMPLES_SHOWN = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default=",".join(ROWS), help="rows, separated by commas")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}: choose from {', '.join(ROWS)}")
    table, strips = [], []
    for name in names:
        row = ROWS[name]
        path = arguments.out / f"{name}-{arguments.seed}"
        run = trained(path, row.architecture, dataset="mnist", steps=row.steps, seed=arguments.seed, **row.settings)
        gan = ganzoo.load(run.path)
        table.append({"run": name} | training(run) | quality(run, gan))
        strips.append(gan.sample(SAMPLES_SHOWN, seed=0))
        print(*(f"{key} {value}" for key, value in table[-1].items() if value), flush=True)
    write(table, arguments.out)
    imaging.save(imaging.grid(torch.cat(strips), SAMPLES_SHOWN), arguments.out / "mnist.png")


def training(run: Run) -> dict[str, str]:
    """The length of the training."""
    last = run.metrics()[-1]
    return {
        "steps": str(last["step"]),
        "batch": str(run.config["settings"]["batch_size"]),
        "seconds": f"{last['seconds']:.0f}",
        "threads": str(run.config["threads"]),
    }


def quality(run: Run, gan: GAN) -> dict[str, str]:
    """The values of the metrics; empty if a metric does not apply."""
    class_metrics = ["label_accuracy"] if run.spec.classes else ["class_entropy"]
    code_metrics = ["code_purity"] if gan.conditional and not run.spec.classes else []
    metrics = ["frechet", "kid", "coverage", *class_metrics, *code_metrics]
    evaluation = read(run)
    if evaluation is None or not set(metrics) <= set(evaluation.findings):
        evaluation = evaluate(run, metrics=metrics)
    figures = evaluation.figures
    return {name: format(figures[name]["value"], form) if name in figures else "" for name, form in FORMATS.items()}


def write(table: list[dict[str, str]], folder: Path) -> None:
    """Write the table as Markdown and as CSV."""
    heads = list(table[0])
    lines = [heads, ["---"] * len(heads), *(list(line.values()) for line in table)]
    (folder / "mnist.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))
    with (folder / "mnist.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, heads)
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
