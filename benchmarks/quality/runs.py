"""Trainings that a benchmark can be stopped in and taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ganzoo
from ganzoo.training.run import Run


def trained(path: Path, architecture: str, dataset: str, **how: Any) -> Run:
    """The run at `path`, trained to its end: from the start, or from where it was stopped. `how` as in ganzoo.train."""
    if not path.exists():
        return ganzoo.train(architecture, dataset=dataset, out=path, **how)
    run = Run.open(path)
    rows = run.metrics()
    done = rows[-1]["step"] if rows else 0
    return run if done >= run.config["schedule"]["steps"] else ganzoo.train(resume=path)


def figures(run: Run, metric: str, samples: int) -> dict[str, float]:
    """What `metric` finds in `samples` samples of the moving average, and the minutes that the training took."""
    found = ganzoo.evaluate(run, metrics=[metric], samples=samples).figures
    return {name: figure["value"] for name, figure in found.items()} | {"minutes": run.metrics()[-1]["seconds"] / 60}
