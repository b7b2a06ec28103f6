"""The table of runs and one run in detail, from files that may change, vanish or be damaged."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from ganzoo.explore.run_folder import RunFolder


def rows(client: Any) -> dict[str, dict[str, Any]]:
    return {run["name"]: run for run in client.get("/api/home").json()["runs"]}


def test_runs_are_found_on_two_levels(client: Any) -> None:
    found = rows(client)
    assert set(found) == {"images", "more/points", "damaged"}
    images = found["images"]
    assert (images["architecture"], images["dataset"], images["step"], images["steps"]) == ("cgan", "digits", 6, 6)
    assert images["grid"] == 6
    assert images["complete"]
    assert not images["training"]
    assert images["rate"] > 0
    assert images["inputs"] is False
    assert "is damaged" in found["damaged"]["error"] or "cannot be read" in found["damaged"]["error"]


def test_a_run_itself_may_be_shown(runs: Path) -> None:
    (row,) = RunFolder(runs / "images").summaries()
    assert (row["name"], row["step"]) == ("images", 6)


def test_a_run_in_training_is_marked_while_its_metrics_grow(runs: Path) -> None:
    config = json.loads((runs / "images" / "config.json").read_text())
    config["schedule"]["steps"] = 100
    (runs / "images" / "config.json").write_text(json.dumps(config))
    folder = RunFolder(runs / "images")
    os.utime(runs / "images" / "metrics.jsonl")
    assert folder.summaries()[0]["training"]
    old = time.time() - 3600
    os.utime(runs / "images" / "metrics.jsonl", (old, old))
    assert not folder.summaries()[0]["training"]


def test_the_table_follows_the_files(runs: Path) -> None:
    folder = RunFolder(runs)
    before = {row["name"]: row for row in folder.summaries()}
    with (runs / "images" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 7, "images": 112, "seconds": 1.0}) + "\n")
    shutil.rmtree(runs / "more")
    after = {row["name"]: row for row in folder.summaries()}
    assert (before["images"]["step"], after["images"]["step"]) == (6, 7)
    assert "more/points" not in after


def test_details_have_curves_alarms_and_grids(client: Any, identifiers: Any) -> None:
    run = client.get(f"/api/runs/{identifiers('images')}").json()
    assert [step for step, _ in run["curves"]["d_real"]] == [2, 4, 6]
    assert run["grids"] == [0, 2, 4, 6]
    assert run["alarm_list"] == []
    assert run["settings"]["width"] == 8
    picture = client.get(f"/api/runs/{identifiers('images')}/grid/4")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


def test_a_run_that_vanished_is_one_message(client: Any, identifiers: Any, runs: Path) -> None:
    images = identifiers("images")
    shutil.rmtree(runs / "images")
    for path in (f"/api/runs/{images}", f"/api/runs/{images}/grid/4"):
        response = client.get(path)
        assert response.status_code == 400
        assert response.json() == {"error": "This run is no longer there: it was moved or deleted."}
    assert "images" not in rows(client)


def test_a_grid_that_vanished_is_one_message(client: Any, identifiers: Any) -> None:
    response = client.get(f"/api/runs/{identifiers('images')}/grid/5")
    assert response.status_code == 409
    assert response.json()["error"] == "The sample grid of step 5 cannot be read: No such file or directory."


def test_damaged_files_are_one_message(client: Any, identifiers: Any, runs: Path) -> None:
    (runs / "images" / "metrics.jsonl").write_text('{"step": 1, "d_real": "x"}\n')
    response = client.get(f"/api/runs/{identifiers('images')}")
    assert response.status_code == 409
    assert "is damaged: line 1" in response.json()["error"]
    assert "is damaged: line 1" in rows(client)["images"]["error"]


def test_names_are_no_paths(client: Any, runs: Path) -> None:
    for name in ("images", "..", "%2e%2e", "..%2f..", str(runs / "images").replace("/", "%2f")):
        assert "generator_lr" not in client.get(f"/api/runs/{name}").text


def test_no_grid_comes_from_outside_of_the_run(client: Any, identifiers: Any, runs: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    shutil.copy(runs / "images" / "samples" / "step-00000002.png", secret)
    grid = runs / "images" / "samples" / "step-00000004.png"
    grid.unlink()
    grid.symlink_to(secret)
    response = client.get(f"/api/runs/{identifiers('images')}/grid/4")
    assert response.status_code == 409
    assert "leads out of the run" in response.json()["error"]
    grid.unlink()
    grid.write_text("<script>alert(1)</script>")
    assert "is not a PNG file" in client.get(f"/api/runs/{identifiers('images')}/grid/4").json()["error"]
    grid.unlink()
    os.mkfifo(grid)
    assert "Not a regular file" not in client.get("/api/home").text
    assert client.get(f"/api/runs/{identifiers('images')}/grid/4").status_code == 409


def test_a_run_of_points_is_shown_in_the_plane(client: Any, identifiers: Any) -> None:
    found = client.get(f"/api/runs/{identifiers('more/points')}/plane").json()
    assert found["picture"]["step"] == 6
    assert {"samples", "surface", "arrows", "mesh", "optimal", "jsd"} <= set(found["picture"])
    assert "generates no points" in client.get(f"/api/runs/{identifiers('images')}/plane").json()["error"]
