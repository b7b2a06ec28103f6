"""Images as conditions: pix2pix on paired data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.evaluation import feature_extractor
from ganzoo.evaluation.metrics.psnr import decibels, upsampled
from ganzoo.training.run import Run
from tests.conftest import Command
from tests.runs import assert_same, last_state

SMALL: dict[str, Any] = {"batch_size": 16, "width": 8}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return ganzoo.train("pix2pix", dataset="mosaic:2:digits", steps=2, out=tmp_path / "run", **SMALL)


def test_it_is_listed_as_paired(ganzoo_cli: Command) -> None:
    (row,) = (row for row in json.loads(ganzoo_cli("list", "--json").out) if row["name"] == "pix2pix")
    assert (row["distribution"], row["paired"], row["conditional"]) == ("ganzoo-core", True, False)
    assert "paired: needs data with an input image" in ganzoo_cli("info", "pix2pix").out


@pytest.mark.parametrize("dataset", ["mosaic:2:digits", "mask:digits"])
def test_a_resume_is_exact(dataset: str, tmp_path: Path) -> None:
    options = {"dataset": dataset, "checkpoint_every": 2, **SMALL}
    whole = ganzoo.train("pix2pix", steps=5, out=tmp_path / "whole", **options)
    ganzoo.train("pix2pix", steps=2, out=tmp_path / "parts", **options)
    parts = ganzoo.train(resume=tmp_path / "parts", steps=5)
    assert_same(last_state(parts.path), last_state(whole.path))


def test_the_run_records_its_inputs_and_logs_the_l1_distance(run: Run) -> None:
    gan = ganzoo.load(run.path)
    assert gan.spec == DataSpec(1, 8, 0, inputs=1) == run.spec
    assert (gan.paired, gan.conditional) == (True, False)
    assert {"l1", "generator_loss"} <= run.metrics()[-1].keys()
    assert Image.open(run.grid or "").size == (10 * 10 + 2, 9 * 10 + 2)


def test_samples_are_rows_of_inputs_outputs_and_targets(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    assert ganzoo_cli("sample", run.path, "--count", 6, "--out", tmp_path / "rows.png").code == 0
    assert ganzoo_cli("sample", run.path, "--count", 6, "--out", tmp_path / "rows.npz").code == 0
    assert ganzoo_cli("sample", run.path, "--count", 6, "--out", tmp_path / "rows").code == 0
    arrays = np.load(tmp_path / "rows.npz")
    test = ganzoo.data.open("mosaic:2:digits", split="test")
    inputs, targets = test.examples(6)  # type: ignore[union-attr]
    assert np.array_equal(arrays["inputs"], inputs)
    assert np.array_equal(arrays["targets"], targets)
    picture = np.asarray(Image.open(tmp_path / "rows.png"))
    for row, kind in enumerate(("inputs", "images", "targets")):
        assert np.array_equal(picture[2 + 10 * row : 10 + 10 * row, 12:20], arrays[kind][1, 0])
        assert np.array_equal(np.asarray(Image.open(tmp_path / "rows" / kind / "1.png")), arrays[kind][1, 0])


def test_written_samples_can_be_trained_on(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    ganzoo_cli("sample", run.path, "--count", 20, "--out", tmp_path / "pairs")
    words = ["--dataset", f"pairs:{tmp_path / 'pairs'}", "--image-size", 8, "--batch-size", 4, "--steps", 1]
    result = ganzoo_cli("train", "pix2pix", *words, "--out", tmp_path / "again")
    assert result.code == 0, result.err
    refused = ganzoo_cli("sample", tmp_path / "again", "--count", 2, "--out", tmp_path / "x.png")
    assert (refused.code, "has no test split" in refused.err) == (1, True)
    words = ["sample", tmp_path / "again", "--count", 2, "--split", "train", "--out", tmp_path / "x.png"]
    assert ganzoo_cli(*words).code == 0


def test_other_images_are_inputs_without_targets(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    out = tmp_path / "restored.npz"
    assert ganzoo_cli("sample", run.path, "--inputs", "digits", "--count", 3, "--out", out).code == 0
    assert set(np.load(out).files) - {"run", "step", "seed", "count"} == {"inputs", "images"}


def test_the_same_input_gives_the_same_image(run: Run) -> None:
    gan = ganzoo.load(run.path)
    inputs = torch.randint(256, (5, 1, 8, 8), dtype=torch.uint8)
    whole = gan.sample(5, inputs=inputs)
    assert torch.equal(gan.sample(5, inputs=inputs, chunk=2), whole)
    assert torch.equal(gan.sample(2, inputs=inputs[3:]), whole[3:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", 1], "not conditional"),
        (["--inputs", "digits", "--count", 356], "has 355 test images, not 356"),
        (["--inputs", "digit"], "Did you mean digits"),
    ],
)
def test_wrong_usage(words: list[object], message: str, run: Run, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("sample", run.path, *words)
    assert result.code == 2
    assert message in result.err


def test_unsuitable_data_and_calls_are_refused(run: Run, tmp_path: Path, ganzoo_cli: Command) -> None:
    with pytest.raises(UsageError, match=r"pix2pix .* needs pairs, .*mosaic:\[PIXELS:\]DATASET"):
        ganzoo.train("pix2pix", dataset="digits", steps=1)
    with pytest.raises(UsageError, match="needs inputs, 2 1x8x8 images, but got none"):
        ganzoo.load(run.path).sample(2)
    plain = ganzoo.train("vanilla", dataset="mosaic:digits", steps=1, batch_size=16, out=tmp_path / "plain")
    assert plain.config["dataset"]["inputs"] == 0
    result = ganzoo_cli("sample", plain.path, "--inputs", "digits")
    assert (result.code, "not paired: it takes no --inputs" in result.err) == (2, True)


@pytest.fixture
def quick_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(feature_extractor, "MAX_EPOCHS", 2)
    monkeypatch.setattr(feature_extractor, "MIN_STEPS", 1)


@pytest.mark.usefixtures("quick_classifier")
def test_it_is_evaluated_on_held_out_inputs(run: Run, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("evaluate", run.path, "--verbose")
    assert result.code == 0, result.err
    assert "class_entropy does not apply: it needs an unconditional GAN" in result.out
    findings = json.loads((run.path / "evaluation.json").read_text())["findings"]
    assert {"psnr", "frechet", "ms_ssim", "memorisation"} <= set(findings)
    protocol = findings["psnr"]["protocol"]
    assert (protocol["samples"], protocol["split"]) == (355, "test")
    inputs, targets = ganzoo.data.open("mosaic:2:digits", split="test").examples(355)  # type: ignore[union-attr]
    samples = ganzoo.load(run.path).sample(355, inputs=inputs)
    assert findings["psnr"]["figures"]["psnr"]["value"] == pytest.approx(decibels(samples, targets))
    assert findings["psnr"]["details"] == pytest.approx(
        {"inputs": decibels(inputs, targets), "their blocks of 2, bicubic": decibels(upsampled(inputs, 2), targets)}
    )
    assert "their blocks of 2, bicubic: " in result.out
    assert Image.open(run.path / "evaluation" / "psnr.png").size == (10 * 10 + 2, 3 * 10 + 2)


def test_its_best_checkpoint_is_by_psnr(tmp_path: Path) -> None:
    options = {"dataset": "mask:digits", "steps": 6, "evaluate_every": 2, **SMALL}
    run = ganzoo.train("pix2pix", out=tmp_path / "run", **options)
    lines = run.evaluations()
    assert [(line["step"], line["metric"]) for line in lines] == [(2, "psnr"), (4, "psnr"), (6, "psnr")]
    assert lines[-1]["psnr"] != lines[0]["psnr"]


def test_psnr_is_for_image_to_image_gans(tmp_path: Path, ganzoo_cli: Command) -> None:
    plain = ganzoo.train("vanilla", dataset="mosaic:digits", steps=1, batch_size=16, out=tmp_path / "plain")
    result = ganzoo_cli("evaluate", plain.path, "--metrics", "psnr")
    assert (result.code, "it needs an image-to-image GAN" in result.err) == (2, True)


@pytest.mark.slow
def test_it_restores_held_out_digits_better_than_bicubic_upsampling(tmp_path: Path) -> None:
    run = ganzoo.train("pix2pix", dataset="mosaic:2:digits", steps=500, out=tmp_path / "run")
    finding = ganzoo.evaluate(run, metrics=["psnr"]).findings["psnr"]
    inputs, bicubic = finding["details"].values()
    assert finding["figures"]["psnr"]["value"] > bicubic + 3 > inputs + 3
