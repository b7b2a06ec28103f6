"""A sweep on Slurm and Ray.

Slurm's jobs are run by submitit's local executor, which starts the same pickled jobs on this machine. Ray is a stand-in
of the functions that are called, which runs a task in a thread; the clusters themselves are not tested.
"""

from __future__ import annotations

import json
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from ganzoo.cli import launchers
from ganzoo.training.run import Run
from tests.conftest import Command

WORDS = ["sweep", "vanilla", "--dataset", "ring", "--log-every", "1", "--set", "batch_size=16", "--out", "sweep"]
FEW = [*WORDS, "--steps", "4"]


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def values(output: str) -> list[dict[str, Any]]:
    """The table without the time."""
    rows: list[dict[str, Any]] = json.loads(output)
    for row in rows:
        row["values"].pop("seconds")
    return rows


def test_jobs_of_submitit(ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(launchers, "CLUSTER", "local")
    result = ganzoo_cli(*FEW, "--on", "slurm", "--json")
    assert result.code == 0, result.err
    assert values(result.out)[0]["values"]["step"]["mean"] == 4
    assert Run.open("sweep/batch_size=16-seed=0").metrics()[-1]["step"] == 4
    assert list(Path("sweep/.submitit").glob("*submitted.pkl"))
    assert "Trained 4 steps" in Path("sweep/batch_size=16-seed=0.log").read_text()


class FakeRay(types.ModuleType):
    def __init__(self) -> None:
        super().__init__("ray")
        self.options_given: dict[str, Any] = {}

    def init(self, **options: Any) -> None: ...

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "GPU": 1.0}

    def remote(self, function: Any) -> Any:
        def options(**given: Any) -> Any:
            self.options_given = given
            return types.SimpleNamespace(remote=lambda *arguments: self._start(function, arguments))

        return types.SimpleNamespace(options=options)

    def _start(self, function: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
        task: dict[str, Any] = {}
        task["thread"] = threading.Thread(target=lambda: task.update(result=function(*arguments)))
        task["thread"].start()
        return task

    def wait(self, tasks: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        return [task for task in tasks if "result" in task], [task for task in tasks if "result" not in task]

    def get(self, task: Any) -> Any:
        task["thread"].join()
        return task["result"]


def test_tasks_of_ray(ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    result = ganzoo_cli(*FEW, "--on", "ray", "--json")
    assert result.code == 0, result.err
    assert values(result.out)[0]["values"]["step"]["mean"] == 4
    assert ray.options_given == {"num_gpus": 1, "max_retries": 0}


@pytest.mark.parametrize(("place", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_library_is_named_before_anything_is_written(
    place: str, package: str, ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    result = ganzoo_cli(*FEW, "--on", place)
    assert result.code == 2
    assert f"pip install 'ganzoo-core[{place}]'" in result.err
    assert not list(Path.cwd().iterdir())


def test_without_sbatch(ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(launchers.shutil, "which", lambda name: None)
    result = ganzoo_cli(*FEW, "--on", "slurm")
    assert result.code == 2
    assert "there is no sbatch here" in result.err
    assert not list(Path.cwd().iterdir())
