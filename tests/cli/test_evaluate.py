from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import ganzoo
from ganzoo.evaluation import feature_extractor as judge
from tests.conftest import Command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory: a run a and a run b, and a cache that is not the user's."""
    home = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.setattr(judge, "MOST_EPOCHS", 4)
        patch.setattr(judge, "LEAST_STEPS", 1)
        patch.chdir(home)
        ganzoo.train("cgan", dataset="digits", steps=30, out="a")
        ganzoo.train("cgan", dataset="digits", steps=30, out="b", loss="hinge")
        yield home


def test_figures_protocol_verdict_and_refusals_are_shown(ganzoo_cli: Command, folder: Path) -> None:
    result = ganzoo_cli("evaluate", "a", "--samples", 400)
    assert result.code == 0, result.err
    for words in (
        "a, step-00000030", "label_accuracy", "frechet", "real data", "Protocol  ", "seed 0; ", "split test",
        "extractor judge of digits, 128 features; extractor accuracy 0.", "Least covered: class",
        "class_entropy does not apply: it needs an unconditional GAN", "Picture  a/evaluation/memorisation.png",
    ):  # fmt: skip
        assert words in result.out
    assert "copying" in result.out.lower() or "COPIES" in result.out


def test_json_holds_what_was_asked_for(ganzoo_cli: Command, folder: Path) -> None:
    result = ganzoo_cli(
        "evaluate", "a", "--metrics", "ms_ssim, label_accuracy", "--samples", 100, "--seed", 4, "--json"
    )
    assert result.code == 0, result.err
    content = json.loads(result.out)
    assert set(content["findings"]) == {"ms_ssim", "label_accuracy"}
    assert content["findings"]["ms_ssim"]["protocol"]["seed"] == 4


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


def test_compare_shows_figures_and_settings_and_writes_a_page(ganzoo_cli: Command, folder: Path) -> None:
    refused = ganzoo_cli("compare", "a", "b")
    assert refused.code == 2
    assert "b has not been evaluated. Run: ganzoo evaluate b" in refused.err

    ganzoo_cli("evaluate", "a")
    result = ganzoo_cli("compare", "a", "b", "--evaluate", "--html", "page.html")
    assert result.code == 0, result.err
    assert "Evaluating b" in result.out
    assert "Evaluating a" not in result.out
    assert " *" in result.out
    assert "settings.loss" in result.out
    assert "hinge" in result.out
    assert "(1)" not in result.out
    assert (folder / "page.html").read_text().startswith("<!doctype html>")

    ganzoo_cli("evaluate", "b", "--metrics", "ms_ssim", "--samples", 50)
    assert "(1) ms_ssim cannot be compared: different samples, pairs." in ganzoo_cli("compare", "a", "b").out
    content = json.loads(ganzoo_cli("compare", "a", "b", "--json").out)
    assert content["runs"] == ["a", "b"]
    assert set(content["figures"]["ms_ssim"]["differences"]) == {"samples", "pairs"}


def test_a_page_needs_a_directory(ganzoo_cli: Command, folder: Path) -> None:
    result = ganzoo_cli("compare", "a", "--html", "nowhere/page.html")
    assert result.code == 2
    assert "nowhere does not exist" in result.err
