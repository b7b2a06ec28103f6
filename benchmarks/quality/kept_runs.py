"""Runs that a table is made of: trained where they are not there yet, and trained on where they were stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ganzoo
from ganzoo.training.run import CONFIG, Run


def trained(path: Path, architecture: str, **options: Any) -> Run:
    """The run at `path` with the steps it was asked for; `options` are those of `ganzoo.train`."""
    if not (path / CONFIG).exists():
        return ganzoo.train(architecture, out=path, **options)
    run = Run.open(path)
    rows = run.metrics()
    done = rows[-1]["step"] if rows else 0
    return run if done == run.config["schedule"]["steps"] else ganzoo.train(resume=path)


def figures(run: Run, metric: str, samples: int) -> dict[str, float]:
    """What `metric` finds in `samples` samples of the moving average, and the minutes that the training took."""
    found = ganzoo.evaluate(run, metrics=[metric], samples=samples).figures
    return {name: figure["value"] for name, figure in found.items()} | {"minutes": run.metrics()[-1]["seconds"] / 60}
