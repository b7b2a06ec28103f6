"""The exported page in a headless Chromium without a network, by its pixels."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ganzoo
from ganzoo import data
from ganzoo.core.errors import GanzooError
from ganzoo.data.normalization import decode
from ganzoo.evaluation.feature_extractor import FeatureExtractor
from ganzoo.exporting import runtime
from ganzoo.exporting.generator import Generator
from ganzoo.exporting.html import BANK
from ganzoo.exporting.runtime import BINARY, SCRIPT
from ganzoo.gan import GAN
from tests.conftest import Command

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
LIMIT_BYTES = 15_000_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GAN that draws digits of 8x8 pixels."""
    out = tmp_path_factory.mktemp("html") / "digits"
    return ganzoo.train("cgan", dataset="digits", steps=300, out=out, callbacks=[], width=16, batch_size=32).path


@pytest.fixture(scope="module")
def page_file(run: Path) -> Path:
    try:
        runtime.files(os.environ.get("GANZOO_ONNXRUNTIME_WEB"))
    except GanzooError as missing:
        pytest.skip(f"The page is not tested: {missing}")
    folder = os.environ.get("GANZOO_ONNXRUNTIME_WEB")
    return ganzoo.export(run, "html", run.parent / "page.html", runtime=folder).path


@pytest.fixture(scope="module")
def page(page_file: Path) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: the page is not tested")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("There is no chromium: the page is not tested.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(offline=True, viewport={"width": 360, "height": 700}, color_scheme="dark").new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        page.wait_for_selector("body[data-drawn]", timeout=120_000)
        yield page
        assert all(url.startswith(("file:", "blob:")) for url in asked), asked
        browser.close()


def pixels(page: Any) -> Any:
    """The grey values of the picture [height, width], once it is drawn."""
    page.wait_for_timeout(300)
    script = "c => [c.height, c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]"
    height, width, values = page.eval_on_selector("#picture", script)
    return np.array(values, dtype=np.uint8).reshape(height, width, 4)[..., 0]


def expected(gan: GAN, label: int) -> Any:
    z = Generator(gan).example(BANK)["z"][:1]
    with torch.no_grad():
        return decode(gan.generate(z, torch.tensor([label])), gan.spec)[0, 0].numpy()


def test_it_draws_what_the_run_draws_of_every_class(page: Any, run: Path) -> None:
    gan = ganzoo.load(run)
    for label in range(10):
        page.keyboard.press(str(label))
        difference = pixels(page).astype(int) - expected(gan, label)
        assert abs(difference).max() <= 1
        assert page.get_attribute(f"#classes button:nth-child({label + 1})", "aria-pressed") == "true"


def test_the_classifier_recognises_the_class_asked_for(page: Any) -> None:
    judge = FeatureExtractor.load_or_train(data.open("digits"), data.open("digits", split="test"), torch.device("cpu"))
    drawn = []
    for label in range(10):
        page.click(f"#classes button:nth-child({label + 1})")
        drawn.append(pixels(page))
    _, logits = judge(np.stack(drawn)[:, None])
    assert int((logits.argmax(1) == torch.arange(10)).sum()) >= 8


def test_sliders_the_pad_and_the_walk_change_the_picture(page: Any) -> None:
    first = pixels(page)
    slider = page.locator("#sliders input").first
    slider.fill("1.2")
    moved = pixels(page)
    assert abs(moved.astype(int) - first).mean() > 2
    slider.fill("0")
    assert abs(pixels(page).astype(int) - first).max() <= 1
    page.focus("#pad")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert abs(pixels(page).astype(int) - first).mean() > 2
    page.keyboard.press("w")
    a, b = pixels(page), pixels(page)
    page.keyboard.press("w")
    assert (a != b).any()
    before = pixels(page)
    page.keyboard.press("n")
    assert (pixels(page) != before).any()


def test_it_fits_a_small_dark_screen(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    color = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", color)[:3])) < 60


def test_its_size(page_file: Path) -> None:
    assert page_file.stat().st_size < LIMIT_BYTES


def fake_runtime(folder: Path) -> Path:
    (folder / "dist").mkdir(parents=True)
    for name in (SCRIPT, BINARY):
        (folder / "dist" / name).write_bytes(b"x")
    return folder


def test_text_of_the_run_is_no_markup(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "<script>alert(1)")
    config = (copy / "config.json").read_text().replace('"3"', '"</script><b>"')
    (copy / "config.json").write_text(config)
    out = tmp_path / "page.html"
    ganzoo.export(copy, "html", out, runtime=fake_runtime(tmp_path / "runtime"))
    text = out.read_text()
    assert "</script><b>" not in text
    assert "<script>alert" not in text
    assert "\\u003c/script\\u003e\\u003cb\\u003e" in text


def test_a_folder_without_the_runtime_is_refused(ganzoo_cli: Command, run: Path, tmp_path: Path) -> None:
    result = ganzoo_cli("export", run, "--to", "html", "--out", tmp_path / "page.html", "--runtime", tmp_path)
    assert result.code == 2
    assert "They come with: npm install onnxruntime-web@" in result.err
    assert not (tmp_path / "page.html").exists()


def test_without_npm_the_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GanzooError, match=r"needs the npm package onnxruntime-web@.*--runtime FOLDER"):
        runtime.files()
