"""Comparison of runs: their metrics, and the settings in which they differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from ganzoo.core.config import flatten, format_value
from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.paths import shell_word
from ganzoo.evaluation.best_checkpoint import PREFERRED_METRICS
from ganzoo.evaluation.results import Evaluation, format_number, read
from ganzoo.training.failure_detection import FailureDetector
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
COLLAPSED_BELOW = {"recall": 0.02, "coverage": 0.02, "class_entropy": 0.1}
"""Values below this share of real data's are those of a generator that has collapsed."""
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

    @cached_property
    def failure(self) -> str | None:
        """Why its values earn no star, as a clause: it shows a failure as training ended, or misses the real data."""
        figures = self.evaluation.figures
        for name in COLLAPSED_BELOW:
            value, real = (figures.get(name, {}).get(key) for key in ("value", "real"))
            if value is not None and real and value < COLLAPSED_BELOW[name] * real:
                return f"has collapsed: {name} {format_number(value)}, real data {format_number(real)}"
        present = _failures_at_the_end(self.run, self.history)
        return f"ended with the alarm {present[0]}" if present else None

    @property
    def notes(self) -> list[str]:
        """The alarms of the training, the verdicts of the metrics, and a note if they belong to an older checkpoint."""
        return [*(f"Alarm: {alarm}" for alarm in self.run.alarms()), *self._verdicts]

    @property
    def _verdicts(self) -> list[str]:
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
    newest = run.newest_checkpoint_name()
    return evaluation is None or newest not in (None, evaluation.checkpoint)


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
            f"Run: ganzoo evaluate {shell_word(missing[0])}, or add --evaluate."
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


def summary(columns: Sequence[Column], rows: Sequence[Row]) -> str | None:
    """Which run is better, and why, in one sentence; None if nothing can be compared."""
    failed = [f"{column.name} {column.failure}" for column in columns if column.failure]
    stars = [sum(i in row.best for row in rows) for i in range(len(columns))]
    comparable = [row for row in rows if not row.differences and sum(f is not None for f in row.figures) > 1]
    if len(columns) < 2 or not (comparable or failed):
        return None
    leaders = [i for i, count in enumerate(stars) if count and count == max(stars)]
    if len(leaders) == 1:
        best = [row for row in rows if leaders[0] in row.best]
        word = "better" if len(columns) == 2 else "best"
        share = f"{len(best)} of {len(comparable)} values"
        result = f"{columns[leaders[0]].name} is {word} on {share}, such as {_example(best, leaders[0])}"
    else:
        result = "None of the runs is better on more values than the others"
    return "; ".join([result, *failed]) + "."


def _example(best: Sequence[Row], leader: int) -> str:
    """The first value on which a run is best, preferably one that `evaluate_every` goes by, before those of others."""
    row = min(best, key=lambda row: PREFERRED_METRICS.index(row.name) if row.name in PREFERRED_METRICS else 99)
    figures = [row.figures[leader], *row.figures[:leader], *row.figures[leader + 1 :]]
    values = [format_number(figure["value"]) for figure in figures if figure]
    return f"{row.name} ({' against '.join(values)})"


def _failures_at_the_end(run: Run, history: Sequence[dict[str, Any]]) -> list[str]:
    """The failures that the last row of a run's metrics shows."""
    try:
        detector = FailureDetector.of(SimpleNamespace(**run.config["settings"]))
    except (GanzooError, AttributeError, TypeError, ValueError):  # another package's loss, or an edited run
        return []
    try:
        for row in history:
            detector.update(row)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return []
    return detector.present


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
    best = best if len(best) < len(scores) else set()
    best = {i for i in best if columns[i].failure is None and not _beyond_real(figures[i])}
    better = next(figure["better"] for figure in figures if figure)
    return Row(name, better, figures, best, differences)


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
    if _beyond_real(figure):
        value = figure["real"]
    return -value if figure["better"] == "higher" else value


def _beyond_real(figure: dict[str, Any] | None) -> bool:
    """Whether a value is better than that of real data: no merit, since smudges can reach it."""
    real = None if figure is None else figure.get("real")
    if figure is None or real is None or figure["better"] == "real":
        return False
    return bool(figure["value"] > real if figure["better"] == "higher" else figure["value"] < real)
