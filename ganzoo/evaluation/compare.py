"""Runs side by side: figures, and the settings that differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ganzoo.core.config import flatten, format_value
from ganzoo.core.errors import UsageError
from ganzoo.evaluation.results import Evaluation, read
from ganzoo.training import checkpoint
from ganzoo.training.run import Run

NO_MATTER = ("seed", "picture")
"""What may differ between two protocols whose figures can be compared."""
SETTINGS = ("architecture", "distribution", "dataset", "settings", "seed", "device", "precision", "versions")
"""The parts of config.json that say how a run came about."""


@dataclass(frozen=True)
class Column:
    """A run with its findings and the lines of its metrics.jsonl."""

    name: str
    run: Run
    evaluation: Evaluation
    history: list[dict[str, Any]]

    @property
    def settings(self) -> dict[str, str]:
        """All that could explain a difference, as words."""
        last = self.history[-1] if self.history else {}
        trained = {"steps": last.get("step", 0), "images": last.get("images", 0), "seconds": last.get("seconds", 0)}
        told = {name: self.run.config[name] for name in SETTINGS if name in self.run.config}
        told["dataset"] = {k: v for k, v in told["dataset"].items() if k != "class_names"}
        return {name: format_value(value) for name, value in flatten(told | {"trained": trained}).items()}

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures must know: verdicts, and that they are of an older checkpoint."""
        found = [finding["verdict"] for finding in self.evaluation.findings.values() if "verdict" in finding]
        if outdated(self.run, self.evaluation):
            found.append(
                f"Note: it was trained on since {self.evaluation.checkpoint}, of which these figures are; "
                "ganzoo compare --evaluate renews them."
            )
        return found


@dataclass(frozen=True)
class Row:
    """One figure of every run, in the order of the columns; None where a run lacks it."""

    name: str
    better: str
    figures: list[dict[str, Any] | None]
    best: set[int]
    """The columns that are best: empty where the figures cannot be compared."""
    differences: list[str]
    """The parts of the protocol in which they differ."""

    @property
    def real(self) -> float | None:
        """What real data score, where all runs agree on it."""
        said = {figure.get("real") for figure in self.figures if figure is not None}
        return said.pop() if len(said) == 1 else None


def outdated(run: Run, evaluation: Evaluation | None) -> bool:
    """Whether `run` was never evaluated, or has been trained since."""
    newest = checkpoint.checkpoints(run.checkpoints)
    return evaluation is None or (bool(newest) and newest[0].name != evaluation.checkpoint)


def columns(paths: Sequence[str]) -> list[Column]:
    """The evaluated runs at `paths`. UsageError, naming the command to run, where one was never evaluated."""
    result = []
    missing = []
    for path in paths:
        run = Run.open(path)
        evaluation = read(run)
        if evaluation is None:
            missing.append(path)
        else:
            result.append(Column(str(path), run, evaluation, run.metrics()))
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} {'has' if len(missing) == 1 else 'have'} not been evaluated. "
            f"Run: ganzoo evaluate {missing[0]}, or give --evaluate."
        )
    return result


def rows(columns: Sequence[Column]) -> list[Row]:
    """Every figure that any of the runs has."""
    found: dict[str, str] = {}
    for column in columns:
        for metric, finding in column.evaluation.findings.items():
            found |= dict.fromkeys(finding["figures"], metric)
    return [_row(name, metric, columns) for name, metric in found.items()]


def incomparable(found: Sequence[Row]) -> list[str]:
    """Lines that say which figures cannot be compared, and why."""
    reasons: dict[str, list[str]] = {}
    for row in found:
        if row.differences:
            reasons.setdefault(", ".join(row.differences), []).append(row.name)
    return [f"{', '.join(names)} cannot be compared: different {parts}." for parts, names in reasons.items()]


def settings(columns: Sequence[Column]) -> dict[str, list[str]]:
    """Every setting with its values in the order of the columns, "" where a run does not have it."""
    every = [column.settings for column in columns]
    names = dict.fromkeys(name for known in every for name in known)
    return {name: [known.get(name, "") for known in every] for name in names}


def _row(name: str, metric: str, columns: Sequence[Column]) -> Row:
    findings = [column.evaluation.findings.get(metric) for column in columns]
    figures = [finding["figures"].get(name) if finding else None for finding in findings]
    protocols = [finding["protocol"] for finding, figure in zip(findings, figures) if finding and figure]
    keys = dict.fromkeys(key for protocol in protocols for key in protocol if key not in NO_MATTER)
    differences = [key for key in keys if any(p.get(key) != protocols[0].get(key) for p in protocols)]
    scored = {i: _distance_from_best(figure) for i, figure in enumerate(figures) if figure is not None}
    scores = {i: score for i, score in scored.items() if score is not None}
    comparable = len(scores) > 1 and not differences
    best = {i for i, score in scores.items() if score == min(scores.values())} if comparable else set()
    better = next(figure["better"] for figure in figures if figure)
    return Row(name, better, figures, best if len(best) < len(scores) else set(), differences)


def _distance_from_best(figure: dict[str, Any]) -> float | None:
    """The lower the better; None where that cannot be told."""
    value: float = figure["value"]
    if figure["better"] == "real":
        return abs(value - figure["real"]) if "real" in figure else None
    return -value if figure["better"] == "higher" else value
