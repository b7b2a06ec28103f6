"""Learning from few images, with and without augmentation: 1,000 of CIFAR-10 and 100 of MNIST, as many of every class.

    python benchmarks/quality/few_images.py runs/few
    python benchmarks/quality/few_images.py runs/few --cifar10 folder:cifar10-jpeg.zip --seeds 1 --steps 1500

Trains `acgan` from each set, and stops after each of these numbers of steps to measure: how far 10,000 samples are from
all test images, in the features of a classifier of the whole data set (Frechet distance, accuracy of the label);
whether they are copies of the training images; and what a step costs, in processor time relative to one without
augmentation (OMP_NUM_THREADS=1, as threads that wait count as well). Runs and figures are kept and reused.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached_runs import by_class, processor_seconds, timed
from PIL import Image

import ganzoo
from ganzoo import data
from ganzoo.data import imaging
from ganzoo.evaluation import evaluate
from ganzoo.evaluation.feature_extractor import FeatureExtractor
from ganzoo.evaluation.metrics.frechet import frechet_distance
from ganzoo.training.run import Run

PER_CLASS = {"cifar10": 100, "mnist": 10}
HELD_OUT_PER_CLASS = 100
STEPS, BATCH = "1500,5000,15000", 32
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "cifar10": {"none": {}, "diffaugment": {"augmentation": "diffaugment"}, "ada": {"augmentation": "ada"}},
    "mnist": {  # ADA turns and mirrors: such digits are none
        "none": {},
        "diffaugment": {"augmentation": "diffaugment"},
        "translation": {"augmentation": "translation", "generator_class_weight": 0.2},
    },
}
"""The settings of every row, by data set."""
SAMPLES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cifar10", default="cifar10", help="another source of the same images, such as folder:PATH")
    parser.add_argument("--only", default="cifar10,mnist", help="data sets, separated by commas")
    parser.add_argument("--steps", default=STEPS, help="when to measure, separated by commas, rising")
    arguments = parser.parse_args()
    stops = [int(steps) for steps in arguments.steps.split(",")]
    for name in arguments.only.split(","):
        source = arguments.cifar10 if name == "cifar10" else name
        table = rows(name, source, arguments.out, arguments.seeds, stops)
        heads = list(table[0])
        lines = [heads, ["---"] * len(heads), *(list(row.values()) for row in table)]
        (arguments.out / f"{name}.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


def rows(name: str, source: str, out: Path, seeds: int, stops: list[int]) -> list[dict[str, str]]:
    """The table of one data set; its first rows are real images, and the images that are learnt from."""
    train, test = data.open(source), data.open(source, split="test")
    assert isinstance(train, data.ImageData)
    assert isinstance(test, data.ImageData)
    few = out / f"{name}.zip"
    learnt = first(train, PER_CLASS[name])
    write(few, {"train": learnt, "test": first(test, HELD_OUT_PER_CLASS)}, train.class_names)
    extractor = FeatureExtractor.load_or_train(train, test)
    reference = extractor(test.images)[0]
    copied = np.resize(np.stack([image for _, image in learnt]), (SAMPLES, *train.images.shape[1:]))
    others = np.random.default_rng(0).permutation(len(train))[:SAMPLES]  # every sixth digit of MNIST is another mixture
    real = {"other real images": train.images[others], "the images learnt from, themselves": copied}
    distances = {run: frechet_distance(extractor(images)[0], reference) for run, images in real.items()}
    table = [{"run": run, "Frechet distance": f"{distance:.1f}"} for run, distance in distances.items()]
    print(name, *(f"{run} {distance:.1f}" for run, distance in distances.items()), flush=True)
    for seed in range(seeds):
        for steps in stops:
            for row, chosen in SETTINGS[name].items():
                path = out / f"{name}-{row}-{seed}"
                kept = Path(f"{path}-{steps}.json")
                if not kept.exists():
                    settings = {"batch_size": BATCH, **chosen}
                    run = timed(path, "acgan", dataset=f"folder:{few}", steps=steps, seed=seed, settings=settings)
                    imaging.save(by_class(run), kept.with_suffix(".png"))
                    plain = processor_seconds(out / f"{name}-none-{seed}", steps)
                    figures = {
                        "run": row,
                        "seed": str(seed),
                        "steps": str(steps),
                        **measured(run, extractor, reference),
                        "processor seconds": f"{processor_seconds(path, steps):.0f}",
                        "time of a step": f"{processor_seconds(path, steps) / plain:.2f}",
                    }
                    kept.write_text(json.dumps(figures))
                table.append(json.loads(kept.read_text()))
                print(name, *(f"{key} {value}" for key, value in table[-1].items()), flush=True)
    return [{head: row.get(head, "") for head in table[-1]} for row in table]


def measured(run: Run, extractor: FeatureExtractor, reference: torch.Tensor) -> dict[str, str]:
    """How far the run's samples are from real images in the `reference`'s features, and whether they are copies."""
    gan = ganzoo.load(run)
    features, logits = extractor(gan.sample(SAMPLES, seed=0).numpy())[:2]
    accuracy = (logits.argmax(1).cpu() == gan.class_labels(SAMPLES)).float().mean()
    copies = evaluate(run, metrics=["memorisation"], samples=2000)
    return {
        "Frechet distance": f"{frechet_distance(features, reference):.1f}",
        "label accuracy": f"{accuracy:.3f}",
        "copies": f"{copies.figures['copies_pixels']['value']:.3f}",
        "verdict": " ".join(copies.verdicts),
    }


def first(examples: data.ImageData, count: int) -> list[tuple[int, np.ndarray]]:
    """The first `count` images of every class, with their labels."""
    assert examples.labels is not None
    chosen = [i for label in range(10) for i in np.flatnonzero(examples.labels == label)[:count]]
    return [(int(examples.labels[i]), examples.images[i]) for i in chosen]


def write(path: Path, splits: dict[str, list[tuple[int, Any]]], names: tuple[str, ...]) -> None:
    """Write images [C, H, W] as PNG files SPLIT/CLASS/NUMBER.png to a zip, unless it exists."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w") as file:
        for split, examples in splits.items():
            for number, (label, image) in enumerate(examples):
                buffer = BytesIO()
                pixels = np.asarray(image).transpose(1, 2, 0)
                Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]).save(buffer, "png")
                file.writestr(f"{split}/{names[label]}/{number:05d}.png", buffer.getvalue())
    partial.replace(path)


if __name__ == "__main__":
    main()
