"""Class-conditional architectures on CIFAR-10, all given the same processor time.

    python benchmarks/quality/cifar10.py runs/cifar10                          # 7,200 s a row: an hour of two cores
    python benchmarks/quality/cifar10.py runs/cifar10 --processor-seconds 1200 --seeds 1 --only acgan,cgan
    python benchmarks/quality/cifar10.py runs/cifar10 --dataset folder:cifar10-jpeg.zip

Compares 10,000 samples of each moving average with the test images. Writes the table as cifar10.md and cifar10.csv, one
row per architecture and seed, and a picture per run: ten samples of every class, none chosen. Interrupted runs are
resumed, finished runs and existing results reused.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

from cached_runs import by_class, evaluated, trained_for

from ganzoo.data import imaging

ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "acgan": ("acgan", {}),
    "acgan-long": ("acgan", {"recipe": "long"}),
    "acgan-32": ("acgan", {"settings": {"batch_size": 32}}),
    "cgan": ("cgan", {}),
    "projection": ("projection", {}),
    "projection-bn": ("projection", {"settings": {"discriminator_norm": "batch"}}),
}
"""Architecture and options of `ganzoo.train` by the name of a row."""
METRICS = ["frechet", "kid", "coverage", "label_accuracy", "class_coverage"]
COLUMNS = {"frechet": ".1f", "kid": ".4f", "precision": ".3f", "recall": ".3f", "label_accuracy": ".3f",
           "class_coverage": ".3f"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--processor-seconds", type=float, default=7200, help="per run, of all threads together")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default=",".join(ROWS), help="rows, separated by commas")
    parser.add_argument("--dataset", default="cifar10")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}: choose from {', '.join(ROWS)}")
    table: list[dict[str, str]] = []
    for seed in range(arguments.seeds):
        for name in names:
            (architecture, options), path = ROWS[name], arguments.out / f"{name}-{seed}"
            run = trained_for(
                path, arguments.processor_seconds, architecture,
                dataset=arguments.dataset, seed=seed, **options,
            )  # fmt: skip
            picture = arguments.out / f"{name}-{seed}.png"
            if not picture.exists():
                imaging.save(by_class(run), picture)
            figures = evaluated(run, METRICS).figures
            if not table:
                table.append({"run": "real images", "seed": "", "steps": "", "images": "", **values(figures, "real")})
            last = run.metrics()[-1]
            length = {"steps": str(last["step"]), "images": str(last["images"])}
            table.append({"run": name, "seed": str(seed), **length, **values(figures, "value")})
            print(*(f"{key} {value}" for key, value in table[-1].items() if value), flush=True)
    write(table, arguments.out / "cifar10")


def values(figures: dict[str, dict[str, Any]], which: str) -> dict[str, str]:
    """The figures of the samples ("value") or of real images in their place ("real")."""
    return {
        name: format(figures[name][which], form) if figures.get(name, {}).get(which) is not None else ""
        for name, form in COLUMNS.items()
    }


def write(table: list[dict[str, str]], stem: Path) -> None:
    """Write the table as Markdown and as CSV."""
    heads = list(table[0])
    lines = [heads, ["---"] * len(heads), *(list(line.values()) for line in table)]
    stem.with_suffix(".md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))
    with stem.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, heads)
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
