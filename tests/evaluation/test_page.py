from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ganzoo
from ganzoo.evaluation.compare import columns
from ganzoo.evaluation.page import page
from ganzoo.training.run import Run

VOID = {"meta", "img", "br", "line", "polyline"}


class Structure(HTMLParser):
    """Collects tags, links and text; fails if tags are not balanced."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in VOID - {"polyline", "line"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def paths(runs: Path) -> list[str]:
    for name in ("cgan", "vanilla"):
        ganzoo.evaluate(runs / name, metrics=["ms_ssim", "memorisation"], samples=120)
    return [str(runs / "cgan"), str(runs / "vanilla")]


def test_one_file_holds_figures_curves_pictures_and_settings(paths: list[str]) -> None:
    html = page(columns(paths))
    structure = Structure(html)
    assert structure.tags.count("svg") >= 3  # two losses, D(real), D(fake), ...
    assert structure.tags.count("polyline") == 2 * structure.tags.count("svg")
    assert structure.tags.count("img") == 4  # a grid and a picture of memorisation for each run
    assert structure.links
    assert all(link.startswith("data:image/png;base64,") for link in structure.links)
    assert "http" not in re.sub(r'http-equiv|data:image/png;base64,[^"]*', "", html)
    assert "script" not in structure.tags
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        ElementTree.fromstring(svg)
    for words in (
        "ms_ssim",
        "real data",
        "settings.image_size",
        "discriminator loss",
        "Protocol",
        "No sign of memorisation",
    ):
        assert words in structure.text
    assert re.search(r'<tr class="differs"><th>architecture</th>', html)
    assert re.search(r"<tr><th>settings.loss</th>", html)


def test_text_from_runs_is_escaped(paths: list[str]) -> None:
    run = Run.open(paths[0])
    run.config["settings"]["loss"] = "<script>alert(1)</script>"
    run.write_config()
    row = {"step": 1, "<script>alert(2)</script>": 3.0}
    run.add_metrics(row)
    evaluation = json.loads((run.path / "evaluation.json").read_text())
    evaluation["checkpoint"] = "<script>alert(3)</script>"
    result = evaluation["findings"]["memorisation"]
    result["verdict"] = "<script>alert(4)</script>"
    result["protocol"] |= {"picture": '"><script>alert(5)</script>', "seed": "<script>alert(6)</script>"}
    result["figures"]["<script>alert(7)</script>"] = {"value": 1.0, "better": "lower"}
    (run.path / "evaluation.json").write_text(json.dumps(evaluation))
    renamed = run.path.rename(run.path.with_name("<script>alert(8)<|script>"))
    html = page(columns([str(renamed), paths[1]]))
    assert "<script" not in html
    assert "script" not in Structure(html).tags
    for number in range(1, 8):
        assert f"&lt;script&gt;alert({number})&lt;/script&gt;" in html
    assert html.count("&lt;script&gt;alert(8)") > 3


def test_pictures_come_from_the_run_only_and_their_names_are_escaped(paths: list[str], tmp_path: Path) -> None:
    run = Run.open(paths[0])
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (run.samples / "step-link.png").symlink_to(secret)  # the last by name
    findings = json.loads((run.path / "evaluation.json").read_text())
    (run.path / "<b>.png").write_bytes(b"picture")
    findings["findings"]["memorisation"]["pictures"] = [str(secret), "../../secret.png", "<b>.png"]
    (run.path / "evaluation.json").write_text(json.dumps(findings))
    structure = Structure(page(columns(paths[:1])))
    assert structure.links == [f"data:image/png;base64,{base64.b64encode(b'picture').decode()}"]
    assert "b" not in structure.tags


def test_a_run_without_pictures_or_metrics_is_still_shown(paths: list[str]) -> None:
    run = Run.open(paths[0])
    run.metrics_file.unlink()
    for picture in [*run.samples.glob("*.png"), *(run.path / "evaluation").glob("*.png")]:
        picture.unlink()
    structure = Structure(page(columns(paths)))
    assert structure.tags.count("img") == 2
    assert "cgan" in structure.text
