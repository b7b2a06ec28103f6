"""evaluation.json and the folder `evaluation` of a run: the findings of all metrics, each with its protocol."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from ganzoo import imaging
from ganzoo.errors import GanzooError
from ganzoo.metrics.metric import Finding
from ganzoo.training.run import Run, replace

FILE = "evaluation.json"
FOLDER = "evaluation"
FORMAT = 1


@dataclass
class Evaluation:
    """The findings of one checkpoint of a run, as JSON values.

    findings: by metric: figures (name -> value, better, real, spread), protocol, details, verdict, pictures (paths
    within the run), seconds.
    skipped: by metric: why it does not apply.
    """

    run: str
    checkpoint: str
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """All figures by name, whatever metric they are from."""
        return {name: figure for finding in self.findings.values() for name, figure in finding["figures"].items()}

    def add(self, run: Run, metric: str, finding: Finding, seconds: float) -> None:
        """Take over what `metric` found, and write its pictures into the run."""
        pictures = []
        for name, picture in finding.pictures.items():
            path = run.path / FOLDER / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            imaging.save(picture, path)
            pictures.append(str(path.relative_to(run.path)))
        entry = {
            "figures": {name: _said(dataclasses.asdict(figure)) for name, figure in finding.figures.items()},
            "protocol": finding.protocol,
            "details": finding.details,
            "verdict": finding.verdict,
            "pictures": pictures,
            "seconds": round(seconds, 2),
        }
        self.findings[metric] = _said(entry)

    def write(self, run: Run) -> None:
        """Write evaluation.json, all or nothing. What other calls found of the same checkpoint stays."""
        before = read(run)
        if before is not None and before.checkpoint == self.checkpoint:
            self.findings = dict(sorted((before.findings | self.findings).items()))
            self.skipped = {k: v for k, v in (before.skipped | self.skipped).items() if k not in self.findings}
        replace(run.path / FILE, json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=2) + "\n")


def read(run: Run) -> Evaluation | None:
    """What is known of `run`; None where it was never evaluated. GanzooError where the file is damaged."""
    try:
        content = json.loads((run.path / FILE).read_text())
        if content.pop("format") != FORMAT:
            raise GanzooError(f"{run.path / FILE} was written by another version of ganzoo. Delete it.")
        return Evaluation(**content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as why:
        raise GanzooError(f"{run.path / FILE} is damaged ({why}). Delete it to evaluate again.") from None


def _said(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value not in (None, {}, [])}
