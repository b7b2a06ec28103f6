"""Modes and high-quality share on ring and grid, by the published protocol, over several seeds.

    python benchmarks/quality/mixtures.py runs/mixtures --seeds 5

Trains `r3gan` at its defaults for points, once a seed, and judges 2,500 samples of each run: a mode counts when a
sample lies within three standard deviations of it; the share of samples that lie so near any mode is of high quality.
A run that is there already is not trained again. Published, 10 trials (PacGAN, arXiv:1712.04086): GAN 6.3 modes of 8
and 98.2% on ring, 17.3 of 25 and 94.8% on grid; PacGAN2 7.9 and 95.6%, PacGAN4 24.8 and 93.6%.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

from kept_runs import figures, trained

SAMPLES = 2500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--datasets", default="ring,grid")
    parser.add_argument("--architecture", default="r3gan")
    given = parser.parse_args()
    for dataset in given.datasets.split(","):
        runs = [
            trained(given.out / f"{dataset}-{seed}", given.architecture, dataset=dataset, seed=seed)
            for seed in range(given.seeds)
        ]
        rows = [figures(run, "modes", SAMPLES) for run in runs]
        for name in ("modes", "high_quality", "minutes"):
            values = [row[name] for row in rows]
            error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
            print(f"{dataset:5} {name:13} {mean(values):8.3f} +- {error:.3f}   {[round(v, 3) for v in values]}")


if __name__ == "__main__":
    main()
