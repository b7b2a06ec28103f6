from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

import ganzoo
from ganzoo.core.errors import CheckpointError, DataError, GanzooError, UsageError
from ganzoo.core.files import sha256
from ganzoo.evaluation import results
from ganzoo.training import checkpoint
from ganzoo.training.run import Run

QUICK = ["label_accuracy", "ms_ssim"]
OF_OTHER_DATA = {"modes", "optimal_discriminator", "psnr", "stacked_modes"}


def test_all_applicable_metrics_are_measured_and_stored_in_the_run(runs: Path) -> None:
    messages: list[str] = []
    evaluation = ganzoo.evaluate(runs / "cgan", samples=600, progress=messages.append)
    assert {"frechet", "kid", "coverage", "label_accuracy", "class_coverage", "ms_ssim", "memorisation"} <= set(
        evaluation.findings
    )
    assert set(evaluation.skipped) == {"class_entropy", "code_purity", "swd", *OF_OTHER_DATA}
    assert "needs images of at least 16 pixels" in evaluation.skipped["swd"]
    assert "drawing 600 samples" in messages
    assert evaluation.findings["frechet"]["protocol"]["samples"] == 600
    assert evaluation.figures["label_accuracy"]["real"] > 0.9

    stored = json.loads((runs / "cgan" / "evaluation.json").read_text())
    assert stored["checkpoint"] == "step-00000060"
    assert stored["findings"] == evaluation.findings
    (picture,) = stored["findings"]["memorisation"]["pictures"]
    assert Image.open(runs / "cgan" / picture).format == "PNG"
    leftovers = [path.name for path in (runs / "cgan").rglob(".*") if not path.name.endswith(".lock")]
    assert leftovers == []


def test_an_unconditional_gan_of_larger_images(runs: Path) -> None:
    evaluation = ganzoo.evaluate(runs / "vanilla", samples=300)
    assert {"class_entropy", "swd", "frechet"} <= set(evaluation.findings)
    assert {"label_accuracy", "class_coverage", "code_purity", *OF_OTHER_DATA} == set(evaluation.skipped)
    assert evaluation.findings["swd"]["protocol"]["levels"] == [16]


def test_the_same_seed_gives_the_same_values_and_another_does_not(runs: Path) -> None:
    first, again, other = (
        ganzoo.evaluate(runs / "cgan", metrics=QUICK, samples=300, seed=seed).figures for seed in (3, 3, 4)
    )
    assert first == again
    assert first["ms_ssim"]["value"] != other["ms_ssim"]["value"]


def test_results_for_the_same_checkpoint_are_merged(runs: Path) -> None:
    run = Run.open(runs / "cgan")
    ganzoo.evaluate(run, metrics=["label_accuracy"], samples=100)
    assert set(ganzoo.evaluate(run, metrics=["ms_ssim"], samples=100).findings) == {"ms_ssim"}
    known = results.read(run)
    assert known is not None
    assert set(known.findings) == {"label_accuracy", "ms_ssim"}

    ganzoo.train(resume=run.path, steps=80)
    ganzoo.evaluate(run, metrics=["ms_ssim"], samples=100)
    known = results.read(run)
    assert known is not None
    assert known.checkpoint == "step-00000080"
    assert set(known.findings) == {"ms_ssim"}  # the label accuracy belonged to older weights


def test_invalid_requests_are_explained(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No metric is called 'frechett'. Did you mean frechet"):
        ganzoo.evaluate(runs / "cgan", metrics=["frechett"])
    with pytest.raises(UsageError, match=r"class_entropy does not apply to .*cgan: it needs an unconditional GAN"):
        ganzoo.evaluate(runs / "cgan", metrics=["class_entropy"], samples=10)
    with pytest.raises(
        UsageError, match=r"frechet does not apply to .*: it needs at least 256 samples, but there are 10"
    ):
        ganzoo.evaluate(runs / "cgan", metrics=["frechet"], samples=10)
    with pytest.raises(UsageError, match="samples=0 is not valid"):
        ganzoo.evaluate(runs / "cgan", samples=0)
    with pytest.raises(UsageError, match="is not a run directory"):
        ganzoo.evaluate(tmp_path / "nowhere")


def test_a_refused_call_keeps_the_stored_results(runs: Path) -> None:
    ganzoo.evaluate(runs / "cgan", metrics=QUICK, samples=100)
    before = (runs / "cgan" / "evaluation.json").read_bytes()
    with pytest.raises(UsageError):
        ganzoo.evaluate(runs / "cgan", metrics=["label_accuracy", "swd"], samples=100)
    assert (runs / "cgan" / "evaluation.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', '{"format": 99}', '{"format": 1, "odd": 2}'])
def test_a_damaged_evaluation_is_named(runs: Path, content: str) -> None:
    (runs / "cgan" / "evaluation.json").write_text(content)
    with pytest.raises(GanzooError, match=r"evaluation\.json"):
        results.read(Run.open(runs / "cgan"))


def pictures(folder: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (16, 16), np.uint8)).save(folder / f"{i}.png")


def test_a_folder_without_labels_or_test_images(tmp_path: Path) -> None:
    pictures(tmp_path / "images", 150, 0)
    run = ganzoo.train("vanilla", dataset=f"folder:{tmp_path / 'images'}", steps=5, image_size=16, out=tmp_path / "run")
    evaluation = ganzoo.evaluate(run, samples=200)
    assert set(evaluation.findings) == {"ms_ssim", "swd", "memorisation"}
    assert evaluation.skipped["frechet"] == "needs a data set with labels"
    assert evaluation.findings["swd"]["protocol"]["split"] == "train"
    assert set(evaluation.findings["memorisation"]["figures"]) == {"copies_pixels", "nearest_pixels"}


def test_data_changed_since_training_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "images", 70, 0)
    run = ganzoo.train("vanilla", dataset=f"folder:{tmp_path / 'images'}", steps=2, image_size=16, out=tmp_path / "run")
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(DataError, match="does not exist"):
        ganzoo.evaluate(run)
    pictures(tmp_path / "images", 70, 1)
    with pytest.raises(DataError, match=r"is not what .* was trained on"):
        ganzoo.evaluate(run)


def test_a_checkpoint_is_hashed_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return sha256(path)

    monkeypatch.setattr(checkpoint, "sha256", counted)
    ganzoo.evaluate(runs / "cgan", metrics=QUICK, samples=50)
    assert sorted(hashed) == ["ema.safetensors", "model.safetensors", "state.pt"]


def test_a_checkpoint_pruned_before_it_is_read_is_replaced_by_a_newer_one(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = runs / "newer"
    shutil.copytree(runs / "cgan", newer)
    ganzoo.train(resume=newer, steps=62)
    read_weights = checkpoint.read_weights

    def prune_first(path: Path, name: str, network: nn.Module) -> None:
        monkeypatch.setattr(checkpoint, "read_weights", read_weights)
        shutil.copytree(newer / "checkpoints" / "step-00000062", path.parent / "step-00000062")
        shutil.rmtree(path)
        read_weights(path, name, network)

    monkeypatch.setattr(checkpoint, "read_weights", prune_first)
    first = ganzoo.evaluate(runs / "cgan", metrics=QUICK, samples=50)
    assert first.checkpoint == "step-00000062"
    assert first.figures == ganzoo.evaluate(newer, metrics=QUICK, samples=50).figures


def test_unreadable_weights_are_reported(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise CheckpointError("does not fit the networks")

    monkeypatch.setattr(checkpoint, "read_weights", fail)
    with pytest.raises(CheckpointError, match="does not fit"):
        ganzoo.evaluate(runs / "cgan", metrics=QUICK, samples=50)


def noise_in_two_classes(folder: Path, size: int) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in "ab":
            (folder / split / name).mkdir(parents=True)
            for i in range(40):
                pixels = rng.integers(0, 255, (size, size), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    ("size", "reason"), [(3, "needs images of at least 4 pixels a side for its classifier"), (8, "better than chance")]
)
def test_figures_of_a_classifier_that_knows_nothing_are_not_given(size: int, reason: str, tmp_path: Path) -> None:
    photos = noise_in_two_classes(tmp_path / "photos", size)
    run = ganzoo.train(
        "vanilla", dataset=f"folder:{photos}", steps=1, batch_size=8, image_size=size, out=tmp_path / "run",
        generator_widths=(8,), discriminator_widths=(8,),
    )  # fmt: skip
    result = ganzoo.evaluate(run, samples=300)
    assert {"precision", "frechet", "kid", "copies_features"}.isdisjoint(result.figures)
    assert reason in result.skipped["coverage"]
    assert reason in result.skipped["class_entropy"]
