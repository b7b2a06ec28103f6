"""Evaluation of runs: metrics, results kept beside a run, comparisons of runs."""

from __future__ import annotations

from ganzoo.evaluation.best_checkpoint import BestCheckpoint
from ganzoo.evaluation.measure import evaluate

__all__ = ["BestCheckpoint", "evaluate"]
