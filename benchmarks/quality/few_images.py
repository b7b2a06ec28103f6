"""Learning from few images, with and without augmentation: 1,000 of CIFAR-10 and 100 of MNIST, as many of every class.

    python benchmarks/quality/few_images.py runs/few
    python benchmarks/quality/few_images.py runs/few --cifar10 folder:cifar10-jpeg.zip --seeds 1

Trains `acgan` for a fixed number of steps from each set. Says how far 10,000 samples are from all test images, in the
features of a classifier of the whole data set (Frechet distance, accuracy of the label); whether they are copies of the
training images; and what a step costs, in processor time relative to one without augmentation (OMP_NUM_THREADS=1, as
threads that wait count as well). Runs are kept and reused.
"""

from __future__ import annotations

import argparse
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached_runs import evaluated, processor_seconds, timed
from PIL import Image

import ganzoo
from ganzoo import data
from ganzoo.data import imaging
from ganzoo.evaluation.feature_extractor import FeatureExtractor
from ganzoo.evaluation.metrics.frechet import frechet_distance

PER_CLASS = {"cifar10": 100, "mnist": 10}
HELD_OUT_PER_CLASS = 100
STEPS, BATCH = 1500, 32
AUGMENTATIONS = {"cifar10": ("none", "diffaugment", "ada"), "mnist": ("none", "diffaugment")}
"""ADA turns and mirrors: such digits are none."""
SAMPLES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cifar10", default="cifar10", help="another source of the same images, such as folder:PATH")
    parser.add_argument("--only", default="cifar10,mnist", help="data sets, separated by commas")
    arguments = parser.parse_args()
    for name in arguments.only.split(","):
        table = rows(name, arguments.cifar10 if name == "cifar10" else name, arguments.out, arguments.seeds)
        heads = list(table[0])
        lines = [heads, ["---"] * len(heads), *(list(row.values()) for row in table)]
        (arguments.out / f"{name}.md").write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


def rows(name: str, source: str, out: Path, seeds: int) -> list[dict[str, str]]:
    """The table of one data set, its first row real images."""
    train, test = data.open(source), data.open(source, split="test")
    assert isinstance(train, data.ImageData)
    assert isinstance(test, data.ImageData)
    few = out / f"{name}.zip"
    write(few, {"train": first(train, PER_CLASS[name]), "test": first(test, HELD_OUT_PER_CLASS)}, train.class_names)
    extractor = FeatureExtractor.load_or_train(train, test)
    reference = extractor(test.images)[0]
    control = frechet_distance(extractor(train.images[-SAMPLES:])[0], reference)
    table = [{"run": "other real images", "seed": "", "Frechet distance": f"{control:.1f}"}]
    for seed in range(seeds):
        for augmentation in AUGMENTATIONS[name]:
            path = out / f"{name}-{augmentation}-{seed}"
            settings = {"augmentation": augmentation, "batch_size": BATCH}
            run = timed(path, "acgan", dataset=f"folder:{few}", steps=STEPS, seed=seed, settings=settings)
            gan = ganzoo.load(run)
            samples = gan.sample(SAMPLES, seed=0)
            features, logits = extractor(samples.numpy())[:2]
            accuracy = (logits.argmax(1).cpu() == gan.class_labels(SAMPLES)).float().mean()
            copies = evaluated(run, ["memorisation"], samples=2000)
            plain = processor_seconds(out / f"{name}-none-{seed}")
            table.append({
                "run": augmentation,
                "seed": str(seed),
                "Frechet distance": f"{frechet_distance(features, reference):.1f}",
                "label accuracy": f"{accuracy:.3f}",
                "copies": f"{copies.figures['copies_pixels']['value']:.3f}",
                "verdict": " ".join(copies.verdicts),
                "time of a step": f"{processor_seconds(path) / plain:.2f}",
            })  # fmt: skip
            imaging.save(imaging.grid(gan.sample(100, torch.arange(100) // 10, seed=0), 10), path.with_suffix(".png"))
            print(name, *(f"{key} {value}" for key, value in table[-1].items()), flush=True)
    return [{head: row.get(head, "") for head in table[-1]} for row in table]


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
