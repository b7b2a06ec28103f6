"""Learning from 500 images of a digit, from scratch and from a network of the other digits: `ganzoo train --init-from`.

    GANZOO_DATA=DIR python benchmarks/quality/transfer.py --runs runs/transfer

For seeds 0 to 2, the Frechet distance (features of MNIST's classifier) of 5,000 samples from the digit's other images,
at every checkpoint. The origin has never seen the digit. Runs are kept and reused.
"""

from __future__ import annotations

import argparse
import json
import statistics
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from cached_runs import trained
from PIL import Image

import ganzoo
from ganzoo import data
from ganzoo.evaluation.feature_extractor import FeatureExtractor
from ganzoo.evaluation.metrics.frechet import frechet_distance
from ganzoo.training.checkpoint import newest_valid
from ganzoo.training.loading import load_checkpoint
from ganzoo.training.run import CONFIG

DIGIT, IMAGES, SAMPLES = 3, 500, 5000
STEPS, EVERY, ORIGIN_STEPS = 1600, 100, 2000
SETTINGS = {"penalty": "r1"}  # without a penalty, 500 images alone end in mode collapse, as an alarm says


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/transfer"))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    train, test = data.open("mnist"), data.open("mnist", split="test")
    assert isinstance(train, data.ImageData)
    assert train.labels is not None
    chosen = train.images[train.labels == DIGIT]
    write(options.runs / "few.zip", chosen[:IMAGES])
    write(options.runs / "others.zip", train.images[train.labels != DIGIT])
    extractor = FeatureExtractor.load_or_train(train, test)
    reference = extractor(chosen[IMAGES:])[0]

    def distances(path: Path, **options: object) -> dict[int, float]:
        """The distance after each EVERY steps of the run at `path`, which is trained on the few images."""
        file = path.with_suffix(".json")
        known = json.loads(file.read_text()) if file.exists() else {}
        for step in range(EVERY * (len(known) + 1), STEPS + 1, EVERY):
            if (path / CONFIG).exists():
                run = ganzoo.train(resume=path, steps=step)
            else:
                run = ganzoo.train(
                    "dcgan", dataset=few, steps=step, out=path, sample_every=STEPS, settings=SETTINGS, **options
                )
            gan = load_checkpoint(run, newest_valid(run.path / "checkpoints")[0])
            known[step] = frechet_distance(extractor(gan.sample(SAMPLES, seed=0).numpy())[0], reference)
            file.write_text(json.dumps(known))
        return {int(step): value for step, value in known.items()}

    others, few = (f"folder:{options.runs / name}" for name in ("others.zip", "few.zip"))
    origin = trained(options.runs / "origin", "dcgan", dataset=others, steps=ORIGIN_STEPS)
    shares = []
    for seed in range(options.seeds):
        scratch = distances(options.runs / f"scratch-{seed}", seed=seed)
        warm = distances(options.runs / f"warm-{seed}", seed=seed, init_from=origin.path)
        best = min(scratch, key=lambda step: scratch[step])
        reached = next((step for step, value in warm.items() if value <= scratch[best]), None)
        print(f"seed {seed}: step: from scratch, from the origin")
        for step in scratch:
            print(f"{step:6d} {scratch[step]:9.1f} {warm[step]:9.1f}")
        print(f"the best from scratch is {scratch[best]:.1f} at {best}; from the origin it is reached at {reached}")
        if reached is not None:
            shares.append(reached / best)
    if shares:
        print(f"median share of the steps: {statistics.median(shares):.2f}, ganzoo {ganzoo.__version__}")


def write(path: Path, images: np.ndarray) -> None:
    """Write uint8 images [N, 1, H, W] as PNG files to a zip, unless it exists."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for number, image in enumerate(images):
            buffer = BytesIO()
            Image.fromarray(image[0]).save(buffer, "png")
            file.writestr(f"{number:05d}.png", buffer.getvalue())


if __name__ == "__main__":
    main()
