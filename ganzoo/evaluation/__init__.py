"""Judging a run: what its GAN has learnt, measured by ganzoo.metrics, kept beside it, compared with others."""

from __future__ import annotations

from ganzoo.evaluation.measure import evaluate

__all__ = ["evaluate"]
