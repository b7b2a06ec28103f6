"""evaluation.json and the folder `evaluation` of a run: the findings of all metrics, each with its protocol."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from ganzoo.core.config import format_value
from ganzoo.core.errors import GanzooError
from ganzoo.core.files import lock, write_text
from ganzoo.data import imaging
from ganzoo.evaluation.metric import Finding
from ganzoo.training.run import Run

FILE = "evaluation.json"
FOLDER = "evaluation"
FORMAT = 1
BETTER = {"higher": "higher", "lower": "lower", "real": "as real data"}


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
        """Write evaluation.json, all or nothing. What others found of the checkpoint, or find at this moment, stays."""
        with lock(run.path / f".{FILE}.lock"):
            whole = self._with(read(run))
            write_text(run.path / FILE, json.dumps({"format": FORMAT, **dataclasses.asdict(whole)}, indent=2) + "\n")

    def _with(self, before: Evaluation | None) -> Evaluation:
        if before is None or before.checkpoint != self.checkpoint:
            return self
        findings = dict(sorted((before.findings | self.findings).items()))
        skipped = {name: why for name, why in (before.skipped | self.skipped).items() if name not in findings}
        return Evaluation(self.run, self.checkpoint, findings, skipped)


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


def number(value: float | None, digits: int = 4) -> str:
    """A figure for people; nothing for None."""
    if value is None:
        return ""
    value += 0.0  # -0.0 is zero
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.{digits}g}"


def protocol_lines(evaluation: Evaluation) -> list[str]:
    """Every protocol in full, what several metrics share said once."""
    protocols = {name: finding["protocol"] for name, finding in evaluation.findings.items()}
    values: dict[str, list[Any]] = {}
    for protocol in protocols.values():
        for key, value in protocol.items():
            values.setdefault(key, []).append(value)
    shared = {key: v[0] for key, v in values.items() if len(v) > 1 and all(value == v[0] for value in v)}
    own: dict[str, list[str]] = {}
    for name, protocol in protocols.items():
        own.setdefault(_listed({k: v for k, v in protocol.items() if k not in shared}), []).append(name)
    lines = [f"Protocol  {_listed(shared)}"] if shared else []
    return lines + [f"  {', '.join(names)}: {said}" for said, names in own.items() if said]


def _listed(protocol: dict[str, Any]) -> str:
    return "; ".join(f"{key.replace('_', ' ')} {format_value(value)}" for key, value in protocol.items())


def _said(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value not in (None, {}, [])}
