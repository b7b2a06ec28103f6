"""Runs to look at, and the application that shows them."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ganzoo
from ganzoo.explore.live import LiveTraining
from tests.sessions import session

pytest.importorskip("starlette", reason="starlette is not installed, so the page of ganzoo explore is not tested")

TOKEN = "a-token-that-nobody-guesses"
ADDRESS = "http://127.0.0.1:8642"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two trained runs and a damaged one. Do not write to it; see `runs`."""
    folder = tmp_path_factory.mktemp("explore")
    common: dict[str, Any] = {"steps": 6, "log_every": 2, "sample_every": 2, "callbacks": []}
    ganzoo.train("cgan", dataset="digits", out=folder / "images", width=8, batch_size=16, **common)
    ganzoo.train("vanilla", dataset="ring", out=folder / "more" / "points", batch_size=16, **common)
    (folder / "damaged").mkdir()
    (folder / "damaged" / "config.json").write_text("{")
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained runs to change."""
    return Path(shutil.copytree(trained, tmp_path / "runs"))


@pytest.fixture
def live() -> Iterator[LiveTraining]:
    """A small training that a page owns, paused at step 0."""
    training = LiveTraining(session("vanilla", "ring", {"batch_size": 16}))
    yield training
    training.close()


@pytest.fixture
def client(runs: Path) -> Iterator[Any]:
    """A client of the application for `runs` that has the token and sends the Origin of the page."""
    with client_of(runs) as client:
        yield client


def client_of(root: Path, live: LiveTraining | None = None, token: str | None = TOKEN, **guard: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of httpx, for a successor that is not everywhere yet
        from starlette.testclient import TestClient

    from ganzoo.explore.run_folder import RunFolder
    from ganzoo.explore.server import application

    client = TestClient(application(RunFolder(root), live, TOKEN, **guard), ADDRESS, raise_server_exceptions=False)
    if token is not None:
        client.cookies.set("ganzoo-explore-8642", token)
    client.headers["Origin"] = ADDRESS
    return client


@pytest.fixture
def identifiers(client: Any) -> Callable[[str], str]:
    """The identifier of the run with this name."""
    return lambda name: next(run["id"] for run in client.get("/api/home").json()["runs"] if run["name"] == name)
