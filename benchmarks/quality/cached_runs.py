"""The runs behind a table: missing runs are trained, interrupted ones resumed, finished ones reused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ganzoo
from ganzoo.training.run import CONFIG, Run


def trained(path: Path, architecture: str, **options: Any) -> Run:
    """Return the run at `path`, trained for its number of steps; `options` are those of `ganzoo.train`."""
    if not (path / CONFIG).exists():
        return ganzoo.train(architecture, out=path, **options)
    run = Run.open(path)
    lines = run.metrics()
    step = lines[-1]["step"] if lines else 0
    return run if step == run.config["schedule"]["steps"] else ganzoo.train(resume=path)


def figures(run: Run, metric: str, samples: int) -> dict[str, float]:
    """Return the values of `metric`, measured with `samples` samples, and the training time in minutes."""
    values = ganzoo.evaluate(run, metrics=[metric], samples=samples).figures
    return {name: value["value"] for name, value in values.items()} | {"minutes": run.metrics()[-1]["seconds"] / 60}
