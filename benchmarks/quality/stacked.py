"""Modes of stacked MNIST, three digits as the channels of one image, by the published protocol.

    python benchmarks/quality/stacked.py runs/stacked

Trains `r3gan` with a penalty that falls, so that its critic comes to see shares as well as modes, and judges 26,000
samples of its moving average: a classifier of MNIST names the digit of each channel, a mode is a combination of three,
and KL is that of the samples' modes from 1,000 even shares. A run that is there already is not trained again. Published
(PacGAN, arXiv:1712.04086, table 2): DCGAN 99 modes and KL 3.40, VEEGAN 150 and 2.95, PacDCGAN2 1,000 and 0.06.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kept_runs import figures, trained

SAMPLES, STEPS = 26_000, 14_000
SETTINGS = {"penalty_half_life": 80_000, "ema_half_life": 20_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    run = trained(given.out, "r3gan", dataset="stacked_mnist", steps=STEPS, seed=given.seed, **SETTINGS)
    print("   ".join(f"{name} {value:.4g}" for name, value in figures(run, "stacked_modes", SAMPLES).items()))


if __name__ == "__main__":
    main()
