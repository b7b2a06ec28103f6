from __future__ import annotations

import pytest

from ganzoo.evaluation.results import Evaluation, number, protocol_lines


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0.0, "0"), (0.123456, "0.1235"), (9.9, "9.9"), (1234.5, "1234"), (26000, "26,000")]
)
def test_figures_are_written_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


def test_what_protocols_share_is_said_once() -> None:
    found = Evaluation(
        "run",
        "step-1",
        {
            "a": {"figures": {}, "protocol": {"seed": 0, "samples": 5}},
            "b": {"figures": {}, "protocol": {"seed": 0, "samples": 7, "subset_size": 3}},
            "c": {"figures": {}, "protocol": {"seed": 0, "samples": 5}},
        },
    )
    assert protocol_lines(found) == ["Protocol  seed 0", "  a, c: samples 5", "  b: samples 7; subset size 3"]
    assert protocol_lines(Evaluation("run", "step-1")) == []
