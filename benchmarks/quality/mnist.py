"""One table of all architectures on MNIST: what each learns at its defaults within ten minutes on two cores.

    python benchmarks/quality/mnist.py runs/mnist
    python benchmarks/quality/mnist.py runs/mnist --only wgan,wgan-gp

Trains every row for a fixed number of steps, judges 10,000 samples of its moving average against the test images, and
writes beside the runs mnist.md and mnist.csv, the table, and mnist.png, twelve samples a row. A run that is there is
not trained again, and what was measured of it is not measured again.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from kept_runs import trained

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
        table.append({"run": name} | how(run) | judged(run, gan))
        strips.append(gan.sample(SAMPLES_SHOWN, seed=0))
        print(*(f"{key} {value}" for key, value in table[-1].items() if value), flush=True)
    write(table, arguments.out)
    imaging.save(imaging.grid(torch.cat(strips), SAMPLES_SHOWN), arguments.out / "mnist.png")


def how(run: Run) -> dict[str, str]:
    """How long it was trained."""
    last = run.metrics()[-1]
    return {
        "steps": str(last["step"]),
        "batch": str(run.config["settings"]["batch_size"]),
        "seconds": f"{last['seconds']:.0f}",
        "threads": str(run.config["threads"]),
    }


def judged(run: Run, gan: GAN) -> dict[str, str]:
    """The figures that apply to it; the others are empty."""
    of_classes = ["label_accuracy"] if run.spec.classes else ["class_entropy"]
    of_codes = ["code_purity"] if gan.conditional and not run.spec.classes else []
    metrics = ["frechet", "kid", "coverage", *of_classes, *of_codes]
    found = read(run)
    if found is None or not set(metrics) <= set(found.findings):
        found = evaluate(run, metrics=metrics)
    figures = found.figures
    return {name: format(figures[name]["value"], form) if name in figures else "" for name, form in FORMATS.items()}


def write(table: list[dict[str, str]], folder: Path) -> None:
    """The table as Markdown and as CSV."""
    heads = list(table[0])
    lines = [heads, ["---"] * len(heads), *(list(line.values()) for line in table)]
    (folder / "mnist.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))
    with (folder / "mnist.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, heads)
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
