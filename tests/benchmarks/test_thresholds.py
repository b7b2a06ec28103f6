"""benchmarks/thresholds.py: which shapes `auto` computes by kernels, and what that gains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.thresholds import BACKENDS, summary
from tests.ops.conftest import needs_native

ROOT = Path(__file__).parents[2]


@needs_native
def test_it_times_kernels_pytorch_and_auto(tmp_path: Path) -> None:
    words = ["--only", "norm", "--shapes", "1", "--json", str(tmp_path / "rows.json")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.thresholds", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    _, *lines = done.stdout.splitlines()
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["operation"], row["mode"]) for row in rows] == [("norm", "inference"), ("norm", "training")]
    for row, line in zip(rows, lines):
        assert row["shape"] in line
        assert min(row[backend] for backend in BACKENDS) > 0
        assert row["ratio"] == pytest.approx(row["reference"] / row["native"])
    assert [line.partition(":")[0] for line in lines[2:]] == ["== norm inference", "== norm training"]


def test_the_summary_counts_wrong_choices_and_what_they_cost() -> None:
    def row(kernels: bool, native: float, reference: float, auto: float) -> dict[str, object]:
        times = {"native": native, "reference": reference, "auto": auto}
        return {"kernels": kernels, "ratio": reference / native, **times}

    rows = [row(True, 1, 4, 1), row(True, 4, 1, 4), row(False, 1, 4, 4), row(False, 1, 4, 1)]
    assert summary("linear inference", rows) == (
        "== linear inference: 2 of 4 by kernels, ratio 0.25 to 4.00, median 2.12; 1 slower, 1 missed, "
        "its choice 100.0% above the best time, auto itself 100.0%"
    )
    dear = summary("norm training", [row(False, 2, 1, 1.5)])
    assert "0 of 1 by kernels; 0 slower, 0 missed, its choice 0.0% above" in dear
    assert dear.endswith("auto itself 50.0%")
