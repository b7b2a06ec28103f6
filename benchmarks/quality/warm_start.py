"""How many steps `--init-from` saves on 500 images of one digit.

    python benchmarks/quality/warm_start.py runs/warm-start

Trains `dcgan`, of width 16 with batches of 32, on 500 sevens of MNIST: from scratch, and from the weights of a dcgan
trained on the other nine digits, with all layers trained or the first two of the discriminator frozen. 2,000 samples of
the moving average are drawn at some steps and compared with the 1,028 sevens of the test images by the Frechet distance
of the features of a classifier of MNIST. Writes the table as warm_start.md and eight samples of every row as
warm_start.png, next to the runs. What was trained is reused, interrupted runs go on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import ganzoo
from ganzoo import data
from ganzoo.data import imaging
from ganzoo.evaluation.feature_extractor import FeatureExtractor
from ganzoo.evaluation.metrics.frechet import frechet_distance
from ganzoo.training.callbacks import Callback, Training
from ganzoo.training.run import CONFIG, Run

DIGIT, IMAGES, SAMPLES, SHOWN = 7, 500, 2_000, 8
ORIGIN_STEPS = 800
SETTINGS = {"width": 16, "batch_size": 32, "image_size": 28}
SAMPLED = (0, 25, 50, 75, 100, 150, 200, 300, 400, 600, 800)
ROWS: dict[str, dict[str, Any]] = {
    "from scratch": {},
    "--init-from": {"init_from": "origin"},
    "--init-from, --freeze discriminator:2": {"init_from": "origin", "freeze": "discriminator:2"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out = arguments.out
    digits = data.open("mnist")
    assert digits.labels is not None
    few = write_images(digits, np.flatnonzero(digits.labels == DIGIT)[:IMAGES], out / "sevens")
    others = write_images(digits, np.flatnonzero(digits.labels != DIGIT)[:20_000], out / "others")
    train(out / "origin", f"folder:{others}", ORIGIN_STEPS, 0)
    runs = {}
    for number, (name, options) in enumerate(ROWS.items()):
        path = out / f"run-{number}-{arguments.seed}"
        if "init_from" in options:
            options = {**options, "init_from": out / "origin"}
        runs[name] = train(path, f"folder:{few}", SAMPLED[-1], arguments.seed, **options)
    write_table(runs, out)


def write_images(images: data.Data, chosen: Any, folder: Path) -> Path:
    """Write the chosen images as PNGs, unless all are there."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.iterdir())) < len(chosen):
        for index in chosen:
            Image.fromarray(np.array(images.values[index][0])).save(folder / f"{index:05d}.png")
    return folder


class Samples(Callback):
    """Keeps samples of the moving average at the steps SAMPLED, in the run's directory."""

    def on_start(self, training: Training) -> None:
        self.training = training
        self.on_step(training.state.step, 0)

    def on_step(self, step: int, seconds: float) -> None:
        if step in SAMPLED:
            with self.training.state.average():
                np.save(file_of(self.training.run.path, step), self.training.state.gan.sample(SAMPLES, seed=1).numpy())


def file_of(run: Path, step: int) -> Path:
    return run / f"drawn-{step:06d}.npy"


def train(path: Path, dataset: str, steps: int, seed: int, **options: Any) -> Run:
    """The run at `path`, trained or resumed to `steps`."""
    if (path / CONFIG).exists():
        rows = Run.open(path).metrics()
        if rows and rows[-1]["step"] >= steps:
            return Run.open(path)
        return ganzoo.train(resume=path, callbacks=[Samples()])
    options = {"steps": steps, "seed": seed, "checkpoint_every": 100, **SETTINGS, **options}
    return ganzoo.train("dcgan", dataset=dataset, out=path, callbacks=[Samples()], **options)


def write_table(runs: dict[str, Run], out: Path) -> None:
    train_split, test = data.open("mnist"), data.open("mnist", split="test")
    judge = FeatureExtractor.load_or_train(train_split, test)
    assert test.labels is not None
    real = judge(np.array(test.values[np.flatnonzero(test.labels == DIGIT)]))[0]
    control = judge(np.stack([np.asarray(Image.open(file))[None] for file in sorted((out / "sevens").iterdir())]))[0]
    lines = ["| steps | " + " | ".join(runs) + " |", "|---|" + "---|" * len(runs)]
    curves: dict[str, dict[int, float]] = {name: {} for name in runs}
    strips: list[Tensor] = []
    for step in SAMPLED:
        for name, run in runs.items():
            drawn = np.load(file_of(run.path, step))
            curves[name][step] = frechet_distance(judge(drawn)[0], real)
            if step in (50, 200, 800):
                strips.append(torch.from_numpy(drawn[:SHOWN]))
        lines.append(f"| {step:,} | " + " | ".join(f"{curve[step]:.1f}" for curve in curves.values()) + " |")
    lines += ["", f"The 500 images themselves: {frechet_distance(control, real):.1f}. Samples: {SAMPLES:,}.", ""]
    best = min(curves["from scratch"].values())
    for name, curve in curves.items():
        first = next((step for step, value in curve.items() if value <= best), None)
        lines.append(
            f"- {name}: {'never' if first is None else f'{first:,} steps'} to {best:.1f}, the best from scratch."
        )
    text = "\n".join(lines) + "\n"
    (out / "warm_start.md").write_text(text)
    print(text)
    imaging.save(imaging.grid(torch.cat(strips), SHOWN * len(runs)), out / "warm_start.png")


if __name__ == "__main__":
    main()
