"""One table of every installed architecture, all given the same processor time, with their default settings.

    python benchmarks/quality/zoo.py runs/zoo                                     # 600 s a row, seeds 0 to 2
    python benchmarks/quality/zoo.py runs/zoo --dataset mnist --processor-seconds 45 --seeds 1
    python benchmarks/quality/zoo.py runs/zoo --dataset folder:cifar10-jpeg.zip --only acgan,stylegan2

A row is an architecture of any installed package that can learn from the data set as it is, with its defaults or with a
recipe for such data. Seed 0 of all rows comes first, then seed 1. Writes the table, best Frechet distance first
(DATASET.md: medians of the seeds, and their range if they differ), a line for every run (DATASET.csv), and the
first samples of seed 0 of every row, none chosen (DATASET.png), beside a folder of runs. The same command again goes on
where it was interrupted, one with more seconds or seeds from what is there. All need images with class labels, whose
classifier has the features in which the distances are measured.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cached_runs import known, processor_seconds, trained_for
from PIL import Image, ImageDraw

from ganzoo import data
from ganzoo.core import registry
from ganzoo.core.errors import GanzooError, UsageError, did_you_mean
from ganzoo.data import imaging
from ganzoo.evaluation.context import EvaluationContext
from ganzoo.evaluation.measure import chosen_metrics, measure
from ganzoo.evaluation.results import Evaluation
from ganzoo.training.data_needs import used
from ganzoo.training.loading import load_checkpoint, newest_checkpoint
from ganzoo.training.run import Run

DATASETS = ("mnist", "cifar10")
METRICS = ["frechet", "kid", "coverage", "label_accuracy", "class_entropy", "code_purity"]
FIGURES = {"frechet": ".1f", "kid": ".4f", "precision": ".3f", "recall": ".3f", "label_accuracy": ".3f",
           "class_entropy": ".3f", "code_purity": ".3f"}  # fmt: skip
HEADS = ["row", "seed", "steps", "images", "processor_seconds", "samples", *FIGURES, "note"]
REAL = "real images"
SHOWN = 16
NAMES_WIDTH = 110

Line = dict[str, Any]
"""What is known of one run, as a line of the CSV file."""


@dataclass(frozen=True)
class Row:
    """An architecture with its defaults, or with one of its recipes."""

    name: str
    architecture: str
    recipe: str | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dataset", action="append", help="may be repeated; default: " + " and ".join(DATASETS))
    parser.add_argument("--only", help="rows, separated by commas")
    parser.add_argument("--processor-seconds", type=number(float), default=600.0, help="of training per run")
    parser.add_argument("--seeds", type=number(int), default=3)
    parser.add_argument("--samples", type=number(int), default=10_000, help="to compare with real images")
    arguments = parser.parse_args()
    try:
        tables = [Table(name, arguments.out, arguments.samples) for name in arguments.dataset or DATASETS]
        choose(tables, arguments.only)
    except GanzooError as refusal:
        parser.error(str(refusal))
    try:
        fill(tables, range(arguments.seeds), arguments.processor_seconds)
    except KeyboardInterrupt:
        parser.exit(130, "\nStopped. The same command goes on from here.\n")


def fill(tables: list[Table], seeds: range, seconds: float) -> None:
    """Train and measure all rows, and say so, one line each."""
    turns = [(seed, table, row) for seed in seeds for table in tables for row in table.rows]
    missing = [max(0.0, seconds - processor_seconds(table.path(row.name, seed))) for seed, table, row in turns]
    began = time.monotonic()
    for i, (seed, table, row) in enumerate(turns):
        done, ahead = sum(missing[:i]), sum(missing[i:])
        left = f", {duration((time.monotonic() - began) / done * ahead)} left" if done else ""
        print(f"{i + 1} of {len(turns)}{left}: {table.name}, {row.name}, seed {seed}:", end=" ", flush=True)
        line = table.add(row, seed, seconds)
        print(*(f"{head} {line[head]}" for head in HEADS[2:] if line.get(head) and head != "samples"), flush=True)


def number(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def positive(text: str) -> Any:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"expected a number above 0, but got {text}")
        return value

    positive.__name__ = "number"  # for argparse's message
    return positive


def duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


class Table:
    """The rows of one data set, and the runs behind them. What the metrics need of real images is computed once."""

    def __init__(self, dataset: str, out: Path, samples: int):
        self.dataset, self.samples = dataset, samples
        self.name = Path(dataset.partition(":")[2]).stem or dataset
        self.folder = out / self.name
        self.train = data.open(dataset)
        if self.train.spec.kind != "images" or self.train.spec.classes < 2:
            raise UsageError(f"{dataset} cannot have a table: it needs images with class labels.")
        self.rows = rows(self.train)
        self.csv = out / f"{self.name}.csv"
        self.lines: dict[tuple[str, str], Line] = {}
        if self.csv.exists():
            with self.csv.open(newline="") as file:
                self.lines = {(line["row"], line["seed"]): line for line in csv.DictReader(file)}
        self.context: EvaluationContext | None = None

    def path(self, row: str, seed: int) -> Path:
        return self.folder / f"{row.replace(' ', '-')}-{seed}"

    def add(self, row: Row, seed: int, seconds: float) -> Line:
        """Train and measure a row, or what is missing of it, and write all that is known so far."""
        path = self.path(row.name, seed)
        line: Line = {"row": row.name, "seed": seed, "samples": self.samples}
        try:
            run = trained_for(path, seconds, row.architecture, dataset=self.dataset, seed=seed, recipe=row.recipe)
            figures = self.judged(run).figures
            last = run.metrics()[-1]
            line |= {"steps": last["step"], "images": last["images"], "processor_seconds": processor_seconds(path)}
            line |= values(figures, "value")
            line["note"] = ", ".join(dict.fromkeys(alarm.name.replace("_", " ") for alarm in run.alarms()))
            self.lines[REAL, ""] = {"row": REAL, "samples": self.samples, **values(figures, "real")}
        except GanzooError as failure:  # such as losses that are not finite: the other rows go on
            line["note"] = f"failed: {' '.join(str(failure).split())}"
        self.lines[row.name, str(seed)] = line
        self.write()
        return line

    def judged(self, run: Run) -> Evaluation:
        """The results of the newest checkpoint; measured, with a strip of samples beside the run, unless they exist."""
        strip, evaluation = Path(f"{run.path}.png"), known(run, METRICS, self.samples)
        if evaluation is not None and strip.exists():
            return evaluation
        checkpoint = newest_checkpoint(run)
        gan = load_checkpoint(run, checkpoint)
        imaging.save(imaging.grid(gan.sample(SHOWN, seed=0), SHOWN), strip)
        if self.context is None:
            test = data.open(self.dataset, split="test")
            self.context = EvaluationContext(gan, self.train, test, self.samples)
        self.context.gan = gan
        evaluation = Evaluation(run.path.name, checkpoint.name)
        measure(self.context.resample(), chosen_metrics(METRICS), evaluation, run.label, asked=False, run=run)
        evaluation.write(run)
        return evaluation

    def write(self) -> None:
        """Write the table, its runs and its picture, best rows first."""
        by_row: dict[str, list[Line]] = {}
        for line in self.lines.values():
            by_row.setdefault(line["row"], []).append(line)
        order = sorted(by_row, key=lambda name: (name != REAL, middle(by_row[name], "frechet", default=float("inf"))))
        with self.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, HEADS)
            writer.writeheader()
            writer.writerows(self.lines.values())
        heads = [head for head in HEADS if head != "seed"]
        table = [heads, ["---"] * len(heads), *([cell(by_row[name], head) for head in heads] for name in order)]
        self.csv.with_suffix(".md").write_text("".join(f"| {' | '.join(line)} |\n" for line in table))
        strips = {name: Path(f"{self.path(name, 0)}.png") for name in order if name != REAL}
        shown = {name: Image.open(strip) for name, strip in strips.items() if strip.exists()}
        picture({REAL: self.real(), **shown}).save(self.csv.with_suffix(".png"))

    def real(self) -> Image.Image:
        """Training images of the whole data set: folders are sorted by class."""
        _, images = self.train.examples(self.train.spread(SHOWN))
        return imaging.to_pil(imaging.grid(images, SHOWN))


def rows(loaded: data.Data) -> list[Row]:
    """Every installed architecture that can use the data, and its recipes for such data."""
    found = []
    for entry in registry.architectures():
        if entry.error is not None or loaded.spec.kind not in entry.card.kinds:
            continue
        try:
            used(loaded, entry)
        except UsageError:
            continue
        shape, examples = loaded.spec.target.shape, len(loaded)
        recipes = [name for name, recipe in entry.card.recipes.items() if recipe.fits(shape, examples)]
        found += [Row(entry.name, entry.name), *(Row(f"{entry.name} {name}", entry.name, name) for name in recipes)]
    return found


def choose(tables: list[Table], only: str | None) -> None:
    """Keep the rows called `only`. UsageError if a data set comes twice, or none of them has such a row."""
    names = [table.name for table in tables]
    if len(set(names)) < len(names):
        raise UsageError(f"Two data sets are called {max(names, key=names.count)}: choose one.")
    if only is None:
        return
    known = sorted({row.name for table in tables for row in table.rows})
    for name in only.split(","):
        if name not in known:
            raise UsageError(f"No row is called {name!r}. {did_you_mean(name, known)}")
    for table in tables:
        table.rows = [row for row in table.rows if row.name in only.split(",")]


def values(figures: dict[str, dict[str, Any]], which: str) -> Line:
    """The figures of the samples ("value") or of real images in their place ("real")."""
    return {
        name: format(figures[name][which], form)
        for name, form in FIGURES.items()
        if figures.get(name, {}).get(which) is not None
    }


def middle(lines: list[Line], key: str, default: float) -> float:
    """The median of one figure of a row's seeds."""
    known = [float(line[key]) for line in lines if line.get(key, "") != ""]
    return statistics.median(known) if known else default


def cell(lines: list[Line], head: str) -> str:
    """One cell of the table: the median over the seeds of a row, with the range if they differ."""
    if head in ("row", "note"):
        return ", ".join(dict.fromkeys(line[head] for line in lines if line.get(head)))
    known = [float(line[head]) for line in lines if line.get(head, "") != ""]
    if not known:
        return ""
    form = FIGURES.get(head, ",.0f")
    median, least, most = (format(of(known), form) for of in (statistics.median, min, max))
    return median if least == most else f"{median} ({least} to {most})"


def picture(strips: dict[str, Image.Image]) -> Image.Image:
    """The strips below each other, with their names."""
    width, height = strips[REAL].size
    result = Image.new("RGB", (NAMES_WIDTH + width, height * len(strips)), "white")
    pen = ImageDraw.Draw(result)
    for i, (name, strip) in enumerate(strips.items()):
        pen.text((4, (i + 0.5) * height), name, "black", anchor="lm")
        result.paste(strip.convert("RGB"), (NAMES_WIDTH, i * height))
    return result


if __name__ == "__main__":
    main()
