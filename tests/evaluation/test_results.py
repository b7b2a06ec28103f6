from __future__ import annotations

import time
from pathlib import Path

import pytest

from ganzoo.evaluation import results
from ganzoo.evaluation.results import Evaluation, format_number, protocol_lines
from ganzoo.training.run import Run
from tests.ranks import join, start


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.0, "0"), (-0.0, "0"), (0.123456, "0.1235"), (9.9, "9.9"), (1234.5, "1234"), (26000, "26,000")],
)
def test_numbers_are_formatted_for_people(value: float | None, text: str) -> None:
    assert format_number(value) == text


def test_shared_protocol_entries_are_shown_once() -> None:
    evaluation = Evaluation(
        "run",
        "step-1",
        {
            "a": {"figures": {}, "protocol": {"seed": 0, "samples": 5}},
            "b": {"figures": {}, "protocol": {"seed": 0, "samples": 7, "subset_size": 3}},
            "c": {"figures": {}, "protocol": {"seed": 0, "samples": 5}},
        },
    )
    assert protocol_lines(evaluation) == ["Protocol  seed 0", "  a, c: samples 5", "  b: samples 7; subset size 3"]
    assert protocol_lines(Evaluation("run", "step-1")) == []


def add(path: Path, metric: str) -> None:
    """Write a result, with a delay between reading and writing in which other processes write."""
    read = results.read

    def slow(run: Run) -> Evaluation | None:
        evaluation = read(run)
        time.sleep(0.3)
        return evaluation

    results.read = slow
    result = {"figures": {}, "protocol": {}}
    Evaluation("run", "step-1", {metric: result}, {"swd": "is not"}).write(Run(path, {}))


def test_results_written_concurrently_are_all_kept(tmp_path: Path) -> None:
    names = [f"metric{i}" for i in range(4)]
    assert [join(process) for process in [start(add, tmp_path, name) for name in names]] == [0] * 4
    known = results.read(Run(tmp_path, {}))
    assert known is not None
    assert list(known.findings) == names


def test_results_for_another_checkpoint_are_discarded(tmp_path: Path) -> None:
    run = Run(tmp_path, {})
    for name, step in (("a", "step-1"), ("b", "step-2")):
        Evaluation("run", step, {name: {"figures": {}, "protocol": {}}}).write(run)
    known = results.read(run)
    assert known is not None
    assert (known.checkpoint, list(known.findings)) == ("step-2", ["b"])
