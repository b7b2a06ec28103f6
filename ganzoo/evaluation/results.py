"""evaluation.json and the folder `evaluation` of a run: the results of all metrics, each with its protocol."""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass, field
from typing import Any

from ganzoo.core.config import format_value
from ganzoo.core.errors import GanzooError, StorageError
from ganzoo.core.files import lock, read_json, write_text
from ganzoo.core.text import printable
from ganzoo.data import imaging
from ganzoo.evaluation.metric import MetricResult
from ganzoo.training.run import Run

FILE = "evaluation.json"
FOLDER = "evaluation"
FORMAT = 1
LOCK = f".{FILE}.lock"
BETTER = {"higher": "higher", "lower": "lower", "real": "as real data"}


@dataclass
class Evaluation:
    """The results for one checkpoint of a run, as JSON values.

    findings: results by metric: figures (name -> value, better, real, spread), protocol, details, verdict, pictures
    (paths within the run), seconds.
    skipped: by metric, why it does not apply.
    """

    run: str
    checkpoint: str
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """The values of all metrics, by name."""
        return {name: value for result in self.findings.values() for name, value in result["figures"].items()}

    @property
    def verdicts(self) -> list[str]:
        return [result["verdict"] for result in self.findings.values() if "verdict" in result]

    def add(self, run: Run | None, metric: str, result: MetricResult, seconds: float) -> None:
        """Add the result of `metric`, and write its pictures to the run, if there is one."""
        pictures = [] if run is None else _written(run.results(), result)
        entry = {
            "figures": {name: _without_empty(dataclasses.asdict(value)) for name, value in result.values.items()},
            "protocol": result.protocol,
            "details": result.details,
            "verdict": result.verdict,
            "pictures": pictures,
            "seconds": round(seconds, 2),
        }
        self.findings[metric] = _without_empty(entry)

    def write(self, run: Run) -> None:
        """Write evaluation.json atomically, merged with the results that other processes wrote for the checkpoint."""
        run = run.results()
        if run.model is not None:
            run.path.mkdir(parents=True, exist_ok=True)
        run.check_links((FILE, LOCK), (FOLDER,))
        with lock(run.path / LOCK):
            merged = self._merged_with(read(run))
            write_text(run.path / FILE, json.dumps({"format": FORMAT, **dataclasses.asdict(merged)}, indent=2) + "\n")
        if run.remote is not None:
            pictures = [name for entry in merged.findings.values() for name in entry.get("pictures", [])]
            try:
                run.remote.publish(name for name in (FILE, *pictures) if (run.path / name).exists())
            except StorageError as failure:  # such as a bucket that may only be read
                logging.getLogger("ganzoo").warning(printable(f"{failure}. The results are in {run.path / FILE}."))

    def _merged_with(self, stored: Evaluation | None) -> Evaluation:
        if stored is None or stored.checkpoint != self.checkpoint:
            return self
        findings = dict(sorted((stored.findings | self.findings).items()))
        skipped = {name: why for name, why in (stored.skipped | self.skipped).items() if name not in findings}
        return Evaluation(self.run, self.checkpoint, findings, skipped)


def stored_in(run: Run) -> Run:
    """Where the results of `run` are: for a model, in its package until it is evaluated here."""
    return run.results() if (run.results().path / FILE).exists() else run


def _written(run: Run, result: MetricResult) -> list[str]:
    """The paths within the run of the result's pictures, which this writes."""
    run.check_links((), (FOLDER,))
    for name, picture in result.pictures.items():
        path = run.path / FOLDER / f"{name}.png"
        path.parent.mkdir(exist_ok=True, parents=run.model is not None)
        imaging.save(picture, path)
    return [f"{FOLDER}/{name}.png" for name in result.pictures]


def read(run: Run) -> Evaluation | None:
    """Read the results stored in `run`; None if it was never evaluated. Raises GanzooError if the file is damaged."""
    run = stored_in(run)
    try:
        content = read_json(run.path / FILE)
        if content.pop("format") != FORMAT:
            raise GanzooError(f"{run.path / FILE} was written by another version of ganzoo. Delete it.")
        _check(content)
        return Evaluation(**content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise GanzooError(f"{run.path / FILE} is damaged ({error}). Delete it to evaluate again.") from None


def _check(content: dict[str, Any]) -> None:
    """Raise ValueError unless `content` has the form of evaluation.json without its format number."""
    _expect(content.keys() == {field.name for field in dataclasses.fields(Evaluation)}, "the entries of the file")
    for name in ("run", "checkpoint"):
        _expect(isinstance(content[name], str), name)
    for name in ("findings", "skipped"):
        _expect(isinstance(content[name], dict), name)
    _expect(all(isinstance(reason, str) for reason in content["skipped"].values()), "skipped")
    for metric, result in content["findings"].items():
        _expect(isinstance(result, dict), metric)
        for part in ("figures", "protocol"):
            _expect(isinstance(result.setdefault(part, {}), dict), f"{metric}.{part}")
        _expect(isinstance(result.get("verdict", ""), str), f"{metric}.verdict")
        pictures = result.get("pictures", [])
        _expect(isinstance(pictures, list) and all(map(_is_plain_path, pictures)), f"{metric}.pictures")
        for name, figure in result["figures"].items():
            _expect(isinstance(figure, dict) and figure.get("better") in BETTER and "value" in figure, name)
            numbers = [figure[key] for key in ("value", "real", "spread") if key in figure]
            _expect(all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers), name)


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(f"{what} is not valid")


def _is_plain_path(path: Any) -> bool:
    return isinstance(path, str) and "\0" not in path


def format_number(value: float | None, digits: int = 4) -> str:
    """Format a value for a table; None is empty."""
    if value is None:
        return ""
    value += 0.0  # -0.0 becomes 0.0
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.{digits}g}"


def protocol_lines(evaluation: Evaluation) -> list[str]:
    """Describe all protocols completely; entries that all share are in the first line."""
    protocols = {name: result["protocol"] for name, result in evaluation.findings.items()}
    values: dict[str, list[Any]] = {}
    for protocol in protocols.values():
        for key, value in protocol.items():
            values.setdefault(key, []).append(value)
    shared = {key: v[0] for key, v in values.items() if len(v) > 1 and all(value == v[0] for value in v)}
    metrics_by_text: dict[str, list[str]] = {}
    for name, protocol in protocols.items():
        own = {key: value for key, value in protocol.items() if key not in shared}
        metrics_by_text.setdefault(_describe(own), []).append(name)
    lines = [f"Protocol  {_describe(shared)}"] if shared else []
    return lines + [f"  {', '.join(names)}: {text}" for text, names in metrics_by_text.items() if text]


def _describe(protocol: dict[str, Any]) -> str:
    return "; ".join(f"{key.replace('_', ' ')} {format_value(value)}" for key, value in protocol.items())


def _without_empty(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value not in (None, {}, [])}
