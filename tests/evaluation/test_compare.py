from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import ganzoo
from ganzoo.core.errors import UsageError
from ganzoo.evaluation.compare import Column, columns, footnotes, outdated, rows, settings, short_names, summary
from ganzoo.evaluation.results import Evaluation, read
from ganzoo.training.run import Run


def evaluation(**figures: dict[str, Any]) -> Evaluation:
    protocol = {"samples": 10, "seed": 0}
    return Evaluation("run", "step-1", {"metric": {"figures": figures, "protocol": protocol}})


@pytest.fixture
def run(runs: Path) -> Run:
    return Run.open(runs / "cgan")


def side_by_side(run: Run, *evaluations: Evaluation) -> list[Column]:
    return [Column(str(i), run, e, []) for i, e in enumerate(evaluations)]


@pytest.mark.parametrize(
    ("better", "real", "values", "best"),
    [
        ("higher", None, [1, 3, 2], {1}),
        ("lower", None, [1, 3, 2], {0}),
        ("lower", None, [1, 3, 1], {0, 2}),
        ("lower", None, [1, 1, 1], set()),
        ("real", 2.5, [1, 3, 0], {1}),
        ("real", None, [1, 3, 2], set()),
    ],
)
def test_the_best_value_is_found(
    run: Run, better: str, real: float | None, values: list[float], best: set[int]
) -> None:
    extra = {} if real is None else {"real": real}
    (row,) = rows(side_by_side(run, *(evaluation(f={"value": v, "better": better, **extra}) for v in values)))
    assert row.best == best
    assert row.real == real


def test_values_of_different_protocols_are_not_compared(run: Run) -> None:
    here = evaluation(f={"value": 1.0, "better": "lower"})
    there = copy.deepcopy(here)
    there.findings["metric"]["protocol"] |= {"samples": 20, "seed": 5}
    (row,) = rows(side_by_side(run, here, there))
    assert row.differences == {"samples": [10, 20]}
    assert row.best == set()


def test_a_run_may_lack_a_value(run: Run) -> None:
    (row,) = rows(side_by_side(run, evaluation(f={"value": 1.0, "better": "lower"}), evaluation()))
    assert row.figures == [{"value": 1.0, "better": "lower"}, None]
    assert row.best == set()


def test_settings_that_one_run_lacks_are_empty_there(runs: Path) -> None:
    both = [
        Column(name, Run.open(runs / name), evaluation(), Run.open(runs / name).metrics())
        for name in ("cgan", "vanilla")
    ]
    values = settings(both)
    assert values["architecture"] == ["cgan", "vanilla"]
    assert values["trained.steps"] == ["60", "60"]
    assert values["settings.image_size"] == ["none", "16"]
    assert "" in values["settings.networks"]


def test_only_evaluated_runs_are_compared(runs: Path) -> None:
    with pytest.raises(UsageError, match=r"have not been evaluated. Run: ganzoo evaluate .*cgan, or add --evaluate"):
        columns([str(runs / "cgan"), str(runs / "vanilla")])


def test_a_run_trained_since_is_outdated(runs: Path) -> None:
    run = Run.open(runs / "cgan")
    assert outdated(run, read(run))
    ganzoo.evaluate(run, metrics=["ms_ssim"], samples=50)
    assert not outdated(run, read(run))
    ganzoo.train(resume=run.path, steps=70)
    assert outdated(run, read(run))
    (column,) = columns([str(runs / "cgan")])
    assert "trained further after step-00000060" in column.notes[-1]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a"], ["a"]),
        (["runs/a/", "runs/b"], ["a", "b"]),
        (["runs/a", "other/a"], ["runs/a", "other/a"]),
        (["a", "/"], None),
    ],
)
def test_names_leave_out_the_common_directory(paths: list[str], names: list[str] | None) -> None:
    if names is not None:
        assert short_names(paths) == names
    else:
        assert len(set(short_names(paths))) == 2


def test_footnotes_describe_differences(run: Run) -> None:
    here = evaluation(f={"value": 1.0, "better": "lower"}, g={"value": 1.0, "better": "lower"})
    there = copy.deepcopy(here)
    there.findings["metric"]["protocol"] |= {"samples": 12_345, "extractor_sha256": "a", "extractor_accuracy": 1.0}
    notes, numbers = footnotes(rows(side_by_side(run, here, there)))
    assert notes == [
        "Not comparable: f, g. The runs were evaluated with different numbers of samples (10; 12,345) and feature "
        "extractors."
    ]
    assert numbers == {"f": 1, "g": 1}


def measured(recall: float, precision: float, real: float = 0.9) -> Evaluation:
    values = {"precision": precision, "recall": recall}
    return evaluation(**{name: {"value": v, "better": "higher", "real": real} for name, v in values.items()})


def test_a_value_beyond_that_of_real_data_has_no_star(run: Run) -> None:
    precision, _ = rows(side_by_side(run, measured(0.5, 0.8), measured(0.4, 0.95)))
    assert precision.best == set()
    copies = [evaluation(c={"value": value, "better": "lower", "real": 0.01}) for value in (0.0015, 0.0)]
    assert rows(side_by_side(run, *copies))[0].best == set()
    worse = [evaluation(c={"value": value, "better": "lower", "real": 0.01}) for value in (0.02, 0.03)]
    assert rows(side_by_side(run, *worse))[0].best == {0}


def test_a_collapsed_run_has_no_star_and_the_sentence_says_why(run: Run) -> None:
    columns = side_by_side(run, measured(0.5, 0.6), measured(0.001, 0.8))
    table = rows(columns)
    assert [row.best for row in table] == [set(), {0}]
    assert summary(columns, table) == (
        "0 is better on 1 of 2 values, such as recall (0.5 against 0.001); "
        "1 has collapsed: recall 0.001, real data 0.9."
    )


def test_a_run_that_ended_with_an_alarm_has_no_star(run: Run) -> None:
    bad = {
        "images": 1, "seconds": 1, "d_real": 0.9999, "d_fake": 0.0001, "diversity": 0.5, "duplicates": 0,
        "generator_gradient": 1, "discriminator_gradient": 1,
    }  # fmt: skip
    history = [{"step": step, **bad} for step in (50, 100, 150)]
    columns = [Column("a", run, measured(0.5, 0.8), []), Column("b", run, measured(0.6, 0.7), history)]
    assert [row.best for row in rows(columns)] == [{0}, set()]
    assert "b ended with the alarm discriminator won." in str(summary(columns, rows(columns)))


def test_neither_is_better_where_each_leads_once(run: Run) -> None:
    columns = side_by_side(run, measured(0.5, 0.6), measured(0.4, 0.8))
    assert summary(columns, rows(columns)) == "None of the runs is better on more values than the others."
    assert summary(columns[:1], rows(columns[:1])) is None
