"""MNIST at 64 pixels: sliced Wasserstein distance and MS-SSIM of DCGAN, by the published protocol.

    python benchmarks/quality/mnist64.py runs/mnist64

Trains `dcgan` with its default settings for fewer steps than published and evaluates its moving average: `swd_mmgen`
(SWD with the pyramid of the published code) with 16,384 samples and as many training images, `ms_ssim` with 5,000 pairs
of samples. A finished run is reused. Published (open-mmlab/mmgeneration, configs/dcgan, 5,000 iterations of 128
images): 11.32 and 0.1395.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cached_runs import trained

import ganzoo

STEPS, SAMPLES = 2_000, 16_384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = trained(arguments.out, "dcgan", dataset="mnist", image_size=64, steps=STEPS, seed=arguments.seed)
    values = ganzoo.evaluate(run, metrics=["swd_mmgen", "ms_ssim"], samples=SAMPLES, reference="train").figures
    for name, value in values.items():
        print(f"{name:16} {value['value']:8.4g}   real {value['real']}")
    print(f"{'minutes':16} {run.metrics()[-1]['seconds'] / 60:8.1f}")


if __name__ == "__main__":
    main()
