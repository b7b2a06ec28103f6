"""MNIST at 64 pixels: sliced Wasserstein distance and MS-SSIM of DCGAN, by the published protocol.

    python benchmarks/quality/mnist64.py runs/mnist64

Trains `dcgan` at its defaults for fewer steps than were published and judges its moving average: 16,384 samples against
as many training images (`swd_mmgen`: the published code's own pyramid, which `swd` is not), 10,000 samples in 5,000
pairs (`ms_ssim`). A run that is there already is not trained again. Published (open-mmlab/mmgeneration, configs/dcgan,
5,000 iterations of 128 images): 11.32 and 0.1395.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kept_runs import trained

import ganzoo

STEPS, SAMPLES = 2_000, 16_384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    run = trained(given.out, "dcgan", dataset="mnist", image_size=64, steps=STEPS, seed=given.seed)
    found = ganzoo.evaluate(run, metrics=["swd_mmgen", "ms_ssim"], samples=SAMPLES, reference="train").figures
    for name, figure in found.items():
        print(f"{name:16} {figure['value']:8.4g}   real {figure['real']}")
    print(f"{'minutes':16} {run.metrics()[-1]['seconds'] / 60:8.1f}")


if __name__ == "__main__":
    main()
