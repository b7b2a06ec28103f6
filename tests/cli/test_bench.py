from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ganzoo_benchmarks import cases, runs
from ganzoo_benchmarks.cases import block
from ganzoo_benchmarks.peers import CHANNELS_LAST, COMPILE, NATIVE, REFERENCE

from ganzoo.ops import cpu_library
from ganzoo.ops.library import Loaded
from tests.benchmarks.test_cases import with_peer, without
from tests.conftest import Command
from tests.ops.conftest import needs_native


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the only case, a small one, whose inference engines are missing."""
    case = without(block("up", 64, 4, "inference", batch=2), COMPILE, "ONNX Runtime")
    case = with_peer(case, "OpenVINO", ModuleNotFoundError("No module named 'openvino'", name="openvino"))
    monkeypatch.setattr(cases, "CASES", {case.name: case})
    return case.name


@needs_native
def test_the_table_shows_versions_times_rates_and_ratios(ganzoo_cli: Command, small: str) -> None:
    result = ganzoo_cli("bench", "--rounds", 1)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert re.match(rf"kernels {cpu_library.instruction_set()}, threads \d+, ganzoo \S+, torch 2\.\S+", lines[0])
    assert "up64.inference: up 64 -> 32 at 4 x 4, inference, batch 2" in lines
    assert re.search(r"^native +[\d.e-]+ +\d+ +[\d.]+ +1\.00", result.out, re.MULTILINE)
    assert re.search(r"^eager channels_last +[\d.e-]+ +\d+ +[\d.]+ +[\d.]+", result.out, re.MULTILINE)
    assert re.search(r"^peak of multiply-adds +\d+ +1\.00 *$", result.out, re.MULTILINE)
    assert "OpenVINO did not run: openvino is not installed: pip install 'ganzoo-core[bench]'" in result.out


@needs_native
def test_json(ganzoo_cli: Command, small: str) -> None:
    result = ganzoo_cli("bench", "--case", small, "--rounds", 1, "--json")
    assert (result.code, result.err) == (0, "")
    content = json.loads(result.out)
    assert content["machine"]["kernels"] == cpu_library.instruction_set()
    assert content["rounds"] == 1
    (row,) = content["cases"]
    figures = ["gflop", "peak_gflops", "turns", "disturbed", "counted"]
    assert list(row) == ["case", "what", "batch", *figures, "contestants", "did_not_run"]
    assert row["turns"] == len(row["contestants"])
    assert row["counted"] in (row["turns"], row["turns"] - row["disturbed"])
    assert (row["case"], row["batch"]) == (small, 2)
    assert list(row["did_not_run"]) == ["OpenVINO"]
    ours, eager = row["contestants"][NATIVE], row["contestants"][REFERENCE]
    assert eager["against_native"] == pytest.approx(eager["ms"] / ours["ms"])
    assert ours["gflops"] == pytest.approx(row["gflop"] / ours["ms"] * 1e3)
    assert ours["share_of_peak"] == pytest.approx(ours["gflops"] / row["peak_gflops"])


def test_an_unknown_case(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("bench", "--case", "generator.2")
    assert result.code == 2
    where = "All are listed by: ganzoo bench --help"
    assert result.err == f"Error: Unknown case 'generator.2'. Did you mean generator.1 or generator.64? {where}\n"
    assert ganzoo_cli("bench", "--case", "zzz").err == f"Error: Unknown case 'zzz'. {where}\n"


def test_bench_is_refused_without_kernels(ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_library.LIBRARY, "loaded", Loaded(None, None, "there is no C++ compiler"))
    result = ganzoo_cli("bench")
    assert (result.code, result.out) == (1, "")
    assert "There are no native kernels to compare here: there is no C++ compiler" in result.err


def test_help_names_every_case(ganzoo_cli: Command) -> None:
    words = re.findall(r"[\w.-]+\w", ganzoo_cli("bench", "--help").out)
    for name in cases.CASES:
        assert name in words or name.partition(".")[0] in words


@needs_native
def test_the_networks_of_a_run(ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(runs.FORMS, COMPILE)  # slow
    options = ("--set", "batch_size=8", "--set", "latent_dim=8", "--steps", 2, "--out", tmp_path / "run")
    assert ganzoo_cli("train", "cgan", "--dataset", "digits", *options).code == 0
    before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*"))
    result = ganzoo_cli("bench", tmp_path / "run", "--rounds", 1, "--json")
    assert (result.code, result.err) == (0, "")
    rows = json.loads(result.out)["cases"]
    assert [(row["case"], row["batch"]) for row in rows] == [
        ("generator.8", 8),
        ("generator.1", 1),
        ("training-step", 8),
    ]
    for row in rows:
        assert list(row["contestants"]) == [NATIVE, REFERENCE, CHANNELS_LAST]
        assert row["did_not_run"] == {}
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")) == before
    result = ganzoo_cli("bench", tmp_path / "run", "--case", "up512.inference")
    assert result.code == 2
    assert result.err == "Error: Unknown case 'up512.inference'. Known: generator.1, generator.8, training-step.\n"


@needs_native
def test_a_folder_that_is_no_run(ganzoo_cli: Command, tmp_path: Path) -> None:
    result = ganzoo_cli("bench", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "is not a run directory" in result.err
