"""Evaluation of runs: metrics, the results stored in a run, comparisons of runs.

The modules are layers, and imports go one way: feature_extractor <- context <- metric <- metrics <- results <- measure
<- best_checkpoint, and results <- compare <- page.
"""

from __future__ import annotations

from ganzoo.evaluation.best_checkpoint import BestCheckpoint
from ganzoo.evaluation.measure import evaluate

__all__ = ["BestCheckpoint", "evaluate"]
