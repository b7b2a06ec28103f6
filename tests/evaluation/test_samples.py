"""`ganzoo evaluate SAMPLES --against DATA`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganzoo
from ganzoo import data
from ganzoo.evaluation import feature_extractor, onnx_samples
from tests.conftest import Command


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setattr(feature_extractor, "MAX_EPOCHS", 2)
    monkeypatch.setattr(feature_extractor, "MIN_STEPS", 1)
    monkeypatch.chdir(tmp_path)


def figures(result: object) -> dict[str, float]:
    findings = json.loads(result.out)["findings"]  # type: ignore[attr-defined]
    return {name: f["value"] for entry in findings.values() for name, f in entry["figures"].items()}


def test_samples_of_a_run_have_its_figures(ganzoo_cli: Command) -> None:
    ganzoo.train("cgan", dataset="digits", steps=4, batch_size=16, width=8, out="run")
    words = ["--metrics", "frechet,label_accuracy", "--samples", 600, "--json"]
    of_run = figures(ganzoo_cli("evaluate", "run", *words))
    ganzoo_cli("sample", "run", "--count", 600, "--seed", 0, "--out", "samples.npz")
    ganzoo_cli("sample", "run", "--count", 600, "--seed", 0, "--out", "samples")
    for samples in ("samples.npz", "folder:samples"):
        result = ganzoo_cli("evaluate", samples, "--against", "digits", *words)
        assert result.code == 0, result.err
        assert figures(result) == pytest.approx(of_run, rel=1e-3)
    shown = ganzoo_cli("evaluate", "samples.npz", "--against", "digits", "--metrics", "frechet")
    assert shown.out.splitlines()[0] == "samples.npz, against digits"


def test_real_images_score_well_and_points_have_modes(ganzoo_cli: Command) -> None:
    train = data.open("digits")
    np.savez("real.npz", images=train.values)
    result = figures(ganzoo_cli("evaluate", "real.npz", "--against", "digits", "--metrics", "frechet", "--json"))
    noise = np.random.default_rng(0).integers(0, 256, train.values.shape, dtype=np.uint8)
    np.savez("noise.npz", images=noise)
    of_noise = figures(ganzoo_cli("evaluate", "noise.npz", "--against", "digits", "--metrics", "frechet", "--json"))
    assert result["frechet"] < of_noise["frechet"] / 5
    np.savez("points.npz", points=data.open("grid").values[:5000])
    modes = figures(ganzoo_cli("evaluate", "points.npz", "--against", "grid", "--json"))
    assert modes["modes"] == 25
    assert modes["high_quality"] > 0.95


def test_labels_in_an_npz_file_are_numbers_of_the_classes_of_the_data(ganzoo_cli: Command) -> None:
    """Whatever the classes are called, and if the samples lack some of them. Points may be float64."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog", "owl")):
        Path("pets", name).mkdir(parents=True)
        for i in range(120):
            pixels = rng.integers(80 * number, 80 * number + 60, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(f"pets/{name}/{i}.png")
    pets = data.open("folder:pets")
    assert pets.labels is not None
    chosen = pets.labels < 2
    np.savez("some.npz", images=pets.values[chosen], labels=pets.labels[chosen])
    result = ganzoo_cli("evaluate", "some.npz", "--against", "folder:pets", "--metrics", "label_accuracy", "--json")
    assert figures(result)["label_accuracy"] > 0.9
    np.savez("points.npz", points=data.open("grid").values[:2500].astype(np.float64))
    assert figures(ganzoo_cli("evaluate", "points.npz", "--against", "grid", "--json"))["modes"] == 25


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.npz", "--against", "digits"], "missing.npz does not exist"),
        (["large.npz"], "large.npz is no run. To measure samples, say what to compare them with: --against DATA."),
        (["folder:large"], "folder:large is no run. To measure samples, say what to compare them with"),
        (["broken.npz", "--against", "digits"], "broken.npz cannot be read"),
        (["other.npz", "--against", "digits"], "other.npz holds neither images nor points"),
        (["large.npz", "--against", "digits"], "large.npz has 1x9x9 images, and digits has 1x8x8 images"),
        (["large.npz", "--against", "digits", "--best"], "--best, --dataset and --set are of a run"),
        (["large.npz", "--against", "nothing"], "nothing"),
    ],
)
def test_what_cannot_be_compared(words: list[str], message: str, ganzoo_cli: Command) -> None:
    Path("broken.npz").write_bytes(b"PK\3\4")
    np.savez("other.npz", x=np.zeros(3))
    np.savez("large.npz", images=np.zeros((9, 1, 9, 9), np.uint8))
    result = ganzoo_cli("evaluate", *words)
    assert result.code in (1, 2)
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_generator_in_an_onnx_file(ganzoo_cli: Command) -> None:
    pytest.importorskip("onnxruntime")
    ganzoo.train("cgan", dataset="digits", steps=2, out="run", settings={"width": 4, "batch_size": 16}, callbacks=[])
    ganzoo.export("run", out="floats.onnx")
    ganzoo.export("run", out="pixels.onnx", uint8=True)
    words = ["--against", "digits", "--samples", 300, "--metrics", "label_accuracy,ms_ssim", "--json"]
    floats, pixels = (figures(ganzoo_cli("evaluate", f"{name}.onnx", *words)) for name in ("floats", "pixels"))
    assert floats == pixels
    np.savez("drawn.npz", **onnx_samples.draw("floats.onnx", 300, 0)[0])
    assert figures(ganzoo_cli("evaluate", "drawn.npz", *words)) == pytest.approx(floats)


def test_onnx_files_that_cannot_be_evaluated(ganzoo_cli: Command) -> None:
    pytest.importorskip("onnxruntime")
    Path("broken.onnx").write_text("no model")
    result = ganzoo_cli("evaluate", "broken.onnx", "--against", "digits")
    assert (result.code, "broken.onnx cannot be read" in result.err) == (1, True)
    result = ganzoo_cli("evaluate", "missing.onnx", "--against", "digits")
    assert (result.code, "missing.onnx does not exist" in result.err) == (2, True)
    settings = {"generator_widths": (8,), "discriminator_widths": (8,)}
    ganzoo.train("vanilla", dataset="ring", steps=1, out="ring", settings=settings, callbacks=[])
    ganzoo.export("ring", out="ring.onnx")
    result = ganzoo_cli("evaluate", "ring.onnx", "--against", "digits")
    assert result.code == 2
    assert "ring.onnx has" in result.err
    assert "modes" in ganzoo_cli("evaluate", "ring.onnx", "--against", "ring", "--samples", 2500).out


def test_images_that_are_not_square(ganzoo_cli: Command) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 1, 16, 32), dtype=np.uint8)
    Path("wide").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(f"wide/{number:03}.png")
    np.savez("wide.npz", images=images[::-1])
    words = ["--against", "folder:wide", "--metrics", "memorisation", "--json"]
    for samples in ("wide.npz", "folder:wide"):
        result = ganzoo_cli("evaluate", samples, *words)
        assert result.code == 0, result.err
        assert figures(result)["copies_pixels"] == 1


def test_if_no_metric_applies_a_line_says_so(ganzoo_cli: Command) -> None:
    np.savez("one.npz", images=np.zeros((1, 1, 8, 8), np.uint8))
    shown = ganzoo_cli("evaluate", "one.npz", "--against", "one.npz")
    assert shown.out.split("\n", 1)[1].strip() == "No metric applies; --verbose says why."
    assert "ms_ssim does not apply: it needs at least 2" in ganzoo_cli(
        "evaluate", "one.npz", "--against", "one.npz", "--verbose"
    ).out  # fmt: skip
