from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganzoo.training.run import Run
from tests.conftest import Command

WORDS = ["sweep", "vanilla", "--dataset", "ring", "--steps", 4, "--log-every", 1, "--set", "batch_size=16"]


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_every_combination_is_trained_and_what_was_interrupted_is_resumed(ganzoo_cli: Command) -> None:
    words = [*WORDS, "--set", "generator_lr=1e-4,1e-3", "--seeds", "0-1", "--jobs", 2, "--out", "sweep"]
    result = ganzoo_cli(*words)
    assert result.code == 0, result.err
    names = sorted(path.name for path in Path("sweep").iterdir() if path.is_dir())
    assert names == [f"batch_size=16-generator_lr={lr}-seed={s}" for lr in ("1e-3", "1e-4") for s in (0, 1)]
    run = Run.open(Path("sweep", names[0]))
    assert (run.config["seed"], run.config["settings"]["generator_lr"]) == (0, 1e-3)
    table = [line for line in result.out.splitlines() if line.startswith("batch_size=16 generator_lr=")]
    assert [line.split()[1:4] for line in table] == [[f"generator_lr={lr}", "2", "4"] for lr in ("1e-4", "1e-3")]

    longer = [8 if word == 4 else word for word in words]  # resumes all four
    rows = json.loads(ganzoo_cli(*longer, "--json").out)
    assert [row["values"]["step"] for row in rows] == [{"mean": 8.0, "spread": 0.0}] * 2
    assert rows[0]["values"]["diversity"]["spread"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "generator_lr="], "expected KEY=A,B"),
        (["--set", "generator_lr=1", "--set", "generator_lr=2"], "one: --set generator_lr=A,B"),
        (["--seeds", 0, "--seeds", 1], "Write one --seeds A,B,...."),
        (["--recipe", "few", "--recipe", "long"], "--recipe is given twice"),
        (["--set", "learning=1"], "learning"),
        (["--set", "generator_lr=1e-4,1e-3x"], "generator_lr=1e-3x is not valid: expected number"),
        (["--out", "sweep", "--seed", "3"], "A sweep chooses --seed itself"),
        (["--seeds", "0-9999"], "at most 1,000 are possible"),
        (["--stepz", "3"], "--stepz"),
    ],
)
def test_what_training_would_refuse_is_refused_at_once(words: list[object], message: str, ganzoo_cli: Command) -> None:
    result = ganzoo_cli(*WORDS, *words)
    assert result.code == 2
    assert message in result.err
    assert not list(Path.cwd().iterdir())


def test_a_failed_training_is_reported_with_its_log(ganzoo_cli: Command) -> None:
    Path("sweep/batch_size=16-seed=0").mkdir(parents=True)
    Path("sweep/batch_size=16-seed=0/mine.txt").touch()
    result = ganzoo_cli(*WORDS, "--seeds", "0,1", "--out", "sweep")
    assert result.code == 1
    assert "1 of 2 training runs failed; see sweep/batch_size=16-seed=0.log" in result.err
    assert "not an empty directory" in Path("sweep/batch_size=16-seed=0.log").read_text()
    assert Run.open("sweep/batch_size=16-seed=1").metrics()[-1]["step"] == 4
