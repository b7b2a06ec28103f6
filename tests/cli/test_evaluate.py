from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import ganzoo
from ganzoo.evaluation import feature_extractor
from tests.conftest import Command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with the runs a and b, and a temporary user cache."""
    home = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.setattr(feature_extractor, "MAX_EPOCHS", 4)
        patch.setattr(feature_extractor, "MIN_STEPS", 1)
        patch.chdir(home)
        ganzoo.train("cgan", dataset="digits", steps=30, out="a")
        ganzoo.train("cgan", dataset="digits", steps=30, out="b", loss="hinge")
        yield home


def test_values_and_the_verdict_are_shown(ganzoo_cli: Command, folder: Path) -> None:
    result = ganzoo_cli("evaluate", "a", "--samples", 400)
    assert result.code == 0, result.err
    title, heading, *rows = result.out.split("\n\n")[0].splitlines()
    assert title == "a, step-00000030"
    assert heading.split() == ["metric", "value", "real", "data", "better"]
    names = [row.split()[0] for row in rows]
    assert {"frechet", "label_accuracy", "precision", "copies_pixels"} <= set(names)
    assert not {"nearest_pixels", "nearest_features"} & set(names)
    (verdict,) = (line for line in result.out.splitlines() if "No sign of memorisation: " in line)
    assert verdict.startswith("Class ")
    assert "Picture  a/evaluation/memorisation.png" in result.out
    for words in ("Protocol", "does not apply", "±"):
        assert words not in result.out


def test_copies_are_reported(ganzoo_cli: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    train = ganzoo.data.open("digits")
    images = torch.from_numpy(train.values[:400])
    monkeypatch.setattr(ganzoo.gan.GAN, "sample", lambda self, count, seed: images[:count])
    result = ganzoo_cli("evaluate", "a", "--samples", 400, "--metrics", "memorisation")
    assert "COPIES OF TRAINING IMAGES: 100.0% by pixels and " in result.out
    assert "No sign" not in result.out


def test_verbose_adds_all_values_protocols_and_metrics_that_do_not_apply(ganzoo_cli: Command, folder: Path) -> None:
    result = ganzoo_cli("evaluate", "a", "--samples", 400, "--verbose")
    for words in (
        "nearest_pixels", " ± ", "Protocol  ", "seed 0; ", "split test",
        "extractor judge of digits, 128 features; extractor accuracy 0.",
        "class_entropy does not apply: it needs an unconditional GAN",
    ):  # fmt: skip
        assert words in result.out


def test_json_is_complete(ganzoo_cli: Command, folder: Path) -> None:
    result = ganzoo_cli("evaluate", "a", "--metrics", "ms_ssim, memorisation", "--samples", 100, "--seed", 4, "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    assert set(content) == {"run", "checkpoint", "findings", "skipped"}
    assert set(content["findings"]) == {"ms_ssim", "memorisation"}
    assert content["findings"]["ms_ssim"]["protocol"]["seed"] == 4
    assert "nearest_pixels" in content["findings"]["memorisation"]["figures"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "nowhere is not a run directory"),
        (("a", "--metrics", "fretchet"), "No metric is called 'fretchet'. Did you mean frechet"),
        (("a", "--metrics", "swd"), "swd does not apply to a: it needs images of at least 16 pixels"),
        (("a", "--metrics", "frechet", "--samples", "20"), "it needs at least 256 samples, but there are 20"),
        (("a", "--metrics", ","), "--metrics names no metric"),
        (("a", "--samples", "0"), "0 is not in the range"),
        (("a", "--reference", "tset"), "'tset' is not one of"),
        (("a", "--metrics", "fid"), "pip install 'ganzoo-core[inception]'"),
    ],
)
def test_wrong_usage_is_explained(ganzoo_cli: Command, folder: Path, arguments: tuple[str, ...], words: str) -> None:
    result = ganzoo_cli("evaluate", *arguments)
    assert result.code == 2
    assert words in result.err
    assert "Traceback" not in result.err


def test_sampling_settings_are_measured_and_part_of_the_protocol(ganzoo_cli: Command, tmp_path: Path) -> None:
    settings = {"width": 4, "embedding": 4, "latent_dim": 8}
    run = ganzoo.train("biggan", dataset="digits", steps=1, batch_size=8, out=tmp_path / "run", settings=settings)
    options = ("--metrics", "ms_ssim", "--samples", 20, "--reference", "train", "--json")
    usual, narrow = (
        json.loads(ganzoo_cli("evaluate", run.path, *options, *words).out)["findings"]["ms_ssim"]
        for words in ((), ("--set", "truncation=0.1"))
    )
    assert usual["figures"]["ms_ssim"]["value"] < narrow["figures"]["ms_ssim"]["value"]
    assert "sampling" not in usual["protocol"]
    assert narrow["protocol"]["sampling"] == {"truncation": 0.1}
    for word, message in (("truncation=-1", "truncation"), ("psi=1", "Unknown setting 'psi'"), ("psi", "KEY=VALUE")):
        refused = ganzoo_cli("evaluate", run.path, "--set", word)
        assert (refused.code, message in refused.err) == (2, True), refused.err
