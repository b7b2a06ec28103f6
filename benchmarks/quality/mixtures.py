"""Modes and high-quality share on ring and grid, by the published protocol, over several seeds.

    python benchmarks/quality/mixtures.py runs/mixtures --seeds 5

Trains `vanilla` at its defaults for points, once a seed, and judges 2,500 samples of each run: a mode counts when a
sample lies within three standard deviations of it; the share of samples that lie so near any mode is of high quality.
A run that is there already is not trained again. Published, 10 trials (PacGAN, arXiv:1712.04086): GAN 6.3 modes of 8
and 98.2% on ring, 17.3 of 25 and 94.8% on grid; PacGAN2 7.9 and 95.6%, PacGAN4 24.8 and 93.6%.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

from runs import trained

from ganzoo.evaluation import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--datasets", default="ring,grid")
    arguments = parser.parse_args()
    for dataset in arguments.datasets.split(","):
        rows = [judged(arguments.out / f"{dataset}-{seed}", dataset, seed) for seed in range(arguments.seeds)]
        for name in ("modes", "high_quality", "seconds"):
            values = [row[name] for row in rows]
            error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
            print(f"{dataset:5} {name:13} {mean(values):8.3f} +- {error:.3f}   {[round(v, 3) for v in values]}")


def judged(path: Path, dataset: str, seed: int) -> dict[str, float]:
    """The figures of one run, trained where it is not there yet."""
    run = trained(path, "vanilla", dataset=dataset, seed=seed)
    figures = evaluate(run, metrics=["modes"], samples=2500).figures
    return {name: figures[name]["value"] for name in ("modes", "high_quality")} | {
        "seconds": run.metrics()[-1]["seconds"]
    }


if __name__ == "__main__":
    main()
