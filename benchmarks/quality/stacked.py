"""Modes of stacked MNIST, three digits as the channels of one image, by the published protocol.

    python benchmarks/quality/stacked.py runs/stacked

Trains `r3gan` with a decreasing penalty, so that its critic learns the shares of the modes as well, and evaluates
26,000 samples of its moving average. A classifier of MNIST predicts the digit in each channel; a mode is a combination
of three digits, and KL is the divergence of the modes' shares from uniform. A finished run is reused. Published
(PacGAN, arXiv:1712.04086, table 2): DCGAN 99 modes and KL 3.40, VEEGAN 150 and 2.95, PacDCGAN2 1,000 and 0.06.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cached_runs import figures, trained

SAMPLES, STEPS = 26_000, 14_000
SETTINGS = {"penalty_half_life": 80_000, "ema_half_life": 20_000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = trained(arguments.out, "r3gan", dataset="stacked_mnist", steps=STEPS, seed=arguments.seed, **SETTINGS)
    print("   ".join(f"{name} {value:.4g}" for name, value in figures(run, "stacked_modes", SAMPLES).items()))


if __name__ == "__main__":
    main()
