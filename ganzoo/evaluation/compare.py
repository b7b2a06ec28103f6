"""Comparison of runs: their metrics, and the settings in which they differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ganzoo.core.config import flatten, format_value
from ganzoo.core.errors import UsageError
from ganzoo.evaluation.results import Evaluation, read
from ganzoo.training import checkpoint
from ganzoo.training.run import Run

IGNORED = ("seed", "picture")
"""Protocol entries that may differ between comparable values."""
SETTINGS = ("architecture", "distribution", "dataset", "settings", "seed", "device", "precision", "versions")
"""The entries of config.json that describe how a run was trained."""
DIFFERENCES = {
    "samples": "numbers of samples",
    "reference": "numbers of reference images",
    "split": "reference splits",
    "pairs": "numbers of pairs",
    "reference_pairs": "numbers of reference pairs",
    "subset_size": "subset sizes",
    "images_of_a_class": "numbers of images per class",
    "train": "numbers of training images",
    "held_out": "held-out images",
    "resize": "image sizes for the feature extractor",
}
"""What a protocol entry is called in "evaluated with different ..."; other entries go by their key."""
DERIVED = ("pairs", "subset_size", "images_of_a_class")
"""Entries that follow from the number of samples and are not mentioned if that differs."""


@dataclass(frozen=True)
class Column:
    """A run with its evaluation and the lines of its metrics.jsonl; `name` identifies it among the compared runs."""

    name: str
    run: Run
    evaluation: Evaluation
    history: list[dict[str, Any]]

    @property
    def settings(self) -> dict[str, str]:
        """Every setting that could explain a difference, formatted."""
        last = self.history[-1] if self.history else {}
        trained = {"steps": last.get("step", 0), "images": last.get("images", 0), "seconds": last.get("seconds", 0)}
        config = {name: self.run.config[name] for name in SETTINGS if name in self.run.config}
        config["dataset"] = {k: v for k, v in config["dataset"].items() if k != "class_names"}
        return {name: format_value(value) for name, value in flatten(config | {"trained": trained}).items()}

    @property
    def notes(self) -> list[str]:
        """The verdicts of the metrics, and a note if they belong to an older checkpoint."""
        if not outdated(self.run, self.evaluation):
            return self.evaluation.verdicts
        note = (
            f"Note: it was trained further after {self.evaluation.checkpoint}, the checkpoint of these values; "
            "ganzoo compare --evaluate updates them."
        )
        return [*self.evaluation.verdicts, note]


@dataclass(frozen=True)
class Row:
    """One value of every run, in the order of the columns; None if a run lacks it."""

    name: str
    better: str
    figures: list[dict[str, Any] | None]
    best: set[int]
    """The columns with the best value; empty if the values are not comparable."""
    differences: dict[str, list[Any]]
    """The protocol entries in which the runs differ, with the distinct values of each."""

    @property
    def real(self) -> float | None:
        """The score of real data, if it is the same for all runs."""
        scores = {figure.get("real") for figure in self.figures if figure is not None}
        return scores.pop() if len(scores) == 1 else None


def outdated(run: Run, evaluation: Evaluation | None) -> bool:
    """Whether `run` was never evaluated, or has been trained since."""
    newest = checkpoint.checkpoints(run.checkpoints)
    return evaluation is None or (bool(newest) and newest[0].name != evaluation.checkpoint)


def columns(paths: Sequence[str]) -> list[Column]:
    """Open the evaluated runs at `paths`. Raises UsageError, with the command to run, if one was never evaluated."""
    result = []
    missing = []
    for path, name in zip(paths, short_names(paths)):
        run = Run.open(path)
        evaluation = read(run)
        if evaluation is None:
            missing.append(path)
        else:
            result.append(Column(name, run, evaluation, run.metrics()))
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} {'has' if len(missing) == 1 else 'have'} not been evaluated. "
            f"Run: ganzoo evaluate {missing[0]}, or add --evaluate."
        )
    return result


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the paths relative to the deepest directory that contains them all."""
    absolute = [os.path.abspath(path) for path in paths]
    common = os.path.commonpath([os.path.dirname(path) for path in absolute])
    return [os.path.relpath(path, common) for path in absolute]


def rows(columns: Sequence[Column]) -> list[Row]:
    """Return a row for every value that any of the runs has."""
    metric_of: dict[str, str] = {}
    for column in columns:
        for metric, result in column.evaluation.findings.items():
            metric_of |= dict.fromkeys(result["figures"], metric)
    return [_row(name, metric, columns) for name, metric in metric_of.items()]


def footnotes(rows: Sequence[Row]) -> tuple[list[str], dict[str, int]]:
    """Explain which values are not comparable: the notes, and the number of its note, from 1, by name of the row."""
    names_by_reason: dict[str, list[str]] = {}
    for row in rows:
        if row.differences:
            names_by_reason.setdefault(_describe(row.differences), []).append(row.name)
    notes: list[str] = []
    numbers: dict[str, int] = {}
    for number, (reason, names) in enumerate(names_by_reason.items(), 1):
        notes.append(f"Not comparable: {', '.join(names)}. The runs were evaluated with different {reason}.")
        numbers |= dict.fromkeys(names, number)
    return notes, numbers


def settings(columns: Sequence[Column]) -> dict[str, list[str]]:
    """Return every setting with its values in the order of the columns, "" if a run does not have it."""
    by_run = [column.settings for column in columns]
    names = dict.fromkeys(name for values in by_run for name in values)
    return {name: [values.get(name, "") for values in by_run] for name in names}


def _row(name: str, metric: str, columns: Sequence[Column]) -> Row:
    results = [column.evaluation.findings.get(metric) for column in columns]
    figures = [result["figures"].get(name) if result else None for result in results]
    protocols = [result["protocol"] for result, figure in zip(results, figures) if result and figure]
    scores = {
        i: score for i, figure in enumerate(figures) if figure and (score := _distance_from_best(figure)) is not None
    }
    differences = _differences(protocols)
    comparable = len(scores) > 1 and not differences
    best = {i for i, score in scores.items() if score == min(scores.values())} if comparable else set()
    better = next(figure["better"] for figure in figures if figure)
    return Row(name, better, figures, best if len(best) < len(scores) else set(), differences)


def _differences(protocols: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    result = {}
    for key in dict.fromkeys(key for protocol in protocols for key in protocol if key not in IGNORED):
        values = [protocol.get(key) for protocol in protocols]
        distinct = [value for i, value in enumerate(values) if value not in values[:i]]
        if len(distinct) > 1:
            result[key] = distinct
    return result


def _describe(differences: dict[str, list[Any]]) -> str:
    """Name the differences in words, with their values if these are numbers."""
    words: dict[str, str] = {}
    for key, values in differences.items():
        if key in DERIVED and "samples" in differences:
            continue
        name = "feature extractors" if key.startswith("extractor") else DIFFERENCES.get(key, key.replace("_", " "))
        numbers = key in DIFFERENCES and all(isinstance(value, int) for value in values)
        words.setdefault(name, f" ({'; '.join(f'{value:,}' for value in values)})" if numbers else "")
    parts = [name + values for name, values in words.items()]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _distance_from_best(figure: dict[str, Any]) -> float | None:
    """A score that is lower the better the value is; None if that is unknown."""
    value: float = figure["value"]
    if figure["better"] == "real":
        return abs(value - figure["real"]) if "real" in figure else None
    return -value if figure["better"] == "higher" else value
