"""Many trainings, evaluations and pages on one folder of runs and one cache of data at the same time."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from PIL import Image

import ganzoo
from ganzoo.evaluation.results import read
from ganzoo.training import checkpoint
from ganzoo.training.run import Run
from tests.ranks import join, start
from tests.training.test_faults import command

COUNT = int(os.environ.get("GANZOO_CONCURRENT", "100"))
AT_ONCE = int(os.environ.get("GANZOO_AT_ONCE", "10"))


@pytest.mark.slow
def test_commands_on_one_folder_at_the_same_time_tear_nothing(tmp_path: Path) -> None:
    first = ("vanilla", "--dataset", "ring", "--batch-size", "16", "--checkpoint-every", "5")
    for name in ("a", "b"):
        run = ganzoo.train("vanilla", dataset="ring", steps=20, batch_size=16, out=tmp_path / "runs" / name)
        ganzoo.evaluate(run, metrics=["modes"], samples=2500)
    kinds = {
        "train": ("train", *first, "--steps", "40", "--log-every", "5"),
        "evaluate": ("evaluate", "../runs/a", "--metrics", "modes", "--samples", "2500"),
        "compare": ("compare", "../runs/a", "../runs/b", "--html", "page.html"),
        "runs": ("runs", "../runs", "--json"),
        "sample": ("sample", "../runs/b", "--count", "4", "--out", "samples.png"),
        "preview": ("datasets", "folder:../photos", "--preview", "--out", "preview.png"),
        "stream": ("train", "vanilla", "--dataset", "folder:stream=yes:../photos", "--steps", "2", "--out", "run"),
        "autoresume": ("train", *first, "--steps", "10", "--out", "../runs/shared", "--autoresume"),
        "cache": ("datasets", "folder", "--cache", "--yes"),
    }
    # the kernels would be compiled into the empty cache
    environment = {"XDG_CACHE_HOME": tmp_path / "cache", "GANZOO_OPS": "reference"}
    for number in range(80):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 8), (number, 2 * number, 3 * number)).save(path)
    chance = random.Random(0)
    jobs = [(kind, tmp_path / str(number)) for number, kind in enumerate(chance.choices([*kinds], k=COUNT))]
    for begin in range(0, COUNT, AT_ONCE):
        processes = []
        for kind, folder in jobs[begin : begin + AT_ONCE]:
            folder.mkdir()
            words = (*kinds[kind], *(("--out", f"../runs/trained-{folder.name}") if kind == "train" else ()))
            processes.append((kind, folder, start(command, folder, *words, **environment)))
        for kind, folder, process in processes:
            output = folder / "output"
            code = join(process, 300)
            if kind == "autoresume" and code == 2:
                assert "is being trained by another process" in output.read_text()
                continue
            assert code == 0, f"{kind}: {output.read_text()}"
            if kind == "runs":
                assert not [row for row in json.loads(output.read_text()) if "error" in row]
            if kind == "compare":
                assert (folder / "page.html").read_text().rstrip().endswith("</html>")
    for kind, folder in jobs:
        if kind == "train":
            run = Run.open(tmp_path / "runs" / f"trained-{folder.name}")
            assert checkpoint.newest_valid(run.checkpoints)[1] == []
            assert [row["step"] for row in run.metrics()] == [*range(5, 41, 5)]
    assert all(read(Run.open(tmp_path / "runs" / name)) for name in ("a", "b"))
