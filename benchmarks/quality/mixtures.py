"""Modes and share of high-quality samples on ring and grid, by the published protocol, for several seeds.

    python benchmarks/quality/mixtures.py runs/mixtures --seeds 5
    python benchmarks/quality/mixtures.py runs/packed --architecture vanilla --set pack=2 --set penalty=none

Trains `r3gan` with its default settings for points once per seed and evaluates 2,500 samples of each run. A mode is
covered if a sample lies within three standard deviations of it; samples that close to any mode are of high quality.
Finished runs are reused. Published, 10 trials (PacGAN, arXiv:1712.04086): GAN 6.3 modes of 8
and 98.2% on ring, 17.3 of 25 and 94.8% on grid; PacGAN2 7.9 and 95.6%, PacGAN4 24.8 and 93.6%.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

from cached_runs import figures, trained

SAMPLES = 2500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--datasets", default="ring,grid")
    parser.add_argument("--architecture", default="r3gan")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting; can be repeated")
    arguments = parser.parse_args()
    settings = dict(word.split("=", 1) for word in arguments.set)
    for dataset in arguments.datasets.split(","):
        runs = [
            trained(arguments.out / f"{dataset}-{seed}", arguments.architecture, dataset=dataset, seed=seed, **settings)
            for seed in range(arguments.seeds)
        ]
        rows = [figures(run, "modes", SAMPLES) for run in runs]
        for name in ("modes", "high_quality", "minutes"):
            values = [row[name] for row in rows]
            error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
            print(f"{dataset:5} {name:13} {mean(values):8.3f} +- {error:.3f}   {[round(v, 3) for v in values]}")


if __name__ == "__main__":
    main()
