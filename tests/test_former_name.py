"""The distribution was called `ganzoo` in 0.1.0 and is called `ganzoo-core` now; its runs and names stay valid."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import ganzoo
from ganzoo.core.errors import UsageError
from ganzoo.training.run import Run

FROZEN = Path(__file__).parent / "frozen" / "0.1.0" / "vanilla"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FROZEN, tmp_path / "run"))


def test_a_run_of_0_1_0_resumes_under_every_name_of_its_architecture(run: Path) -> None:
    assert json.loads((run / "config.json").read_text())["distribution"] == "ganzoo"
    assert Run.open(run).config["distribution"] == "ganzoo-core"
    for steps, name in ((41, None), (42, "vanilla"), (43, "ganzoo:vanilla"), (44, "ganzoo-core:vanilla")):
        ganzoo.train(name, resume=run, steps=steps)
        assert Run.open(run).metrics()[-1]["step"] == steps
    assert json.loads((run / "config.json").read_text())["distribution"] == "ganzoo-core"


def test_it_does_not_resume_as_another_architecture(run: Path) -> None:
    with pytest.raises(UsageError, match="cannot make a ganzoo:dcgan of this run: it is a vanilla"):
        ganzoo.train("ganzoo:dcgan", resume=run, steps=41)


def test_resuming_notes_no_change_of_version(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    ganzoo.train(resume=run, steps=41)
    assert "ganzoo:" not in caplog.text
    assert set(Run.open(run).config["resumes"][-1]["versions"]) >= {"ganzoo", "numpy", "python", "torch"}
    assert "ganzoo-core" not in Run.open(run).config["resumes"][-1]["versions"]
