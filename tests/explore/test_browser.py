"""The page in a real browser: pixels change where a user changes something."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ganzoo

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: the page is not tested in a browser"
)
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the page is not tested in it")

PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained runs, and one of images that are twice as wide as high."""
    folder: Path = shutil.copytree(trained, tmp_path_factory.mktemp("browser") / "runs")
    pictures = np.random.default_rng(0).integers(0, 256, (24, 16, 32), dtype=np.uint8)
    for number, picture in enumerate(pictures):
        (folder.parent / "data" / "all").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder.parent / "data" / "all" / f"{number}.png")
    settings = {"width": 8, "batch_size": 8}
    ganzoo.train("dcgan", dataset=f"folder:{folder.parent / 'data'}", out=folder / "wide", steps=2, settings=settings)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address that `ganzoo explore` prints, with a training on `ring`."""
    command = [
        "explore",
        str(folder),
        "--port",
        "0",
        "--train",
        "vanilla",
        "--dataset",
        "ring",
        "--set",
        "batch_size=16",
    ]
    with subprocess.Popen([sys.executable, "-m", "ganzoo", *command], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        yield re.fullmatch(r"Open (http://127\.0\.0\.1:\d+/\?token=\S+)\n", line)[1]  # type: ignore[index]
        server.terminate()
        assert server.wait(20) in (143, -15)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A page whose script must not fail, and which must ask nothing of other servers."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.extend(_foreign(request.url, address)))
    page.on("console", lambda message: problems.extend([message.text] if "Content Security" in message.text else []))
    page.goto(address)
    yield page
    assert problems == []
    context.close()


def _foreign(url: str, address: str) -> list[str]:
    return [] if url.startswith((address.partition("?")[0], "data:", "blob:")) else [url]


def pixels(page: Any, selector: str) -> str:
    """All pixels of a canvas."""
    found: str = page.eval_on_selector(
        selector, "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.join()"
    )
    return found


def settled(page: Any, selector: str) -> str:
    """All pixels of a canvas once half a second has not changed them."""
    last, now = "", pixels(page, selector)
    while now != last:
        page.wait_for_timeout(500)
        last, now = now, pixels(page, selector)
    return now


HIDDEN = """(hidden) => {
  Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}"""
CHANGED = """([selector, before]) => {
  const c = document.querySelector(selector);
  return c && c.width && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.join() !== before;
}"""


PAINTED = """() => [...document.querySelectorAll('.tile canvas, .main-picture')].every((c) =>
  c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v))"""


def changes(page: Any, selector: str, before: str) -> None:
    """Wait until a canvas differs from `before`."""
    page.wait_for_function(CHANGED, arg=[selector, before], timeout=PATIENCE_MS)


def go(page: Any, tab: str) -> None:
    page.get_by_role("link", name=tab, exact=True).click()


def open_latent(page: Any, run: str = "images", parameters: str = "") -> None:
    """Open the latent space of `run` by its address."""
    runs = page.evaluate("() => fetch('api/home').then((answer) => answer.json())")["runs"]
    identifier = next(each["id"] for each in runs if each["name"] == run)
    visit(page, f"#/latent/{identifier}{parameters}")
    wait_for_latent(page)


def visit(page: Any, address: str) -> None:
    page.evaluate("(address) => { location.hash = address; }", address)


def wait_for_latent(page: Any) -> None:
    page.get_by_text("eigenvector 1").wait_for()
    page.wait_for_function(PAINTED)


def hash_has(page: Any, pattern: str) -> None:
    """Wait until the address matches a regular expression."""
    page.wait_for_function("(p) => new RegExp(p).test(decodeURIComponent(location.hash))", arg=pattern)


def test_the_table_names_every_run(page: Any) -> None:
    go(page, "Runs")
    table = page.get_by_role("table")
    table.get_by_role("link", name="images").wait_for()
    text = table.inner_text()
    assert "more/points" in text
    assert "cannot be read" in text
    page.wait_for_function(
        "() => [...document.querySelectorAll('.thumbnail')].filter((i) => i.naturalWidth > 0).length === 3"
    )


def test_a_slider_moved_changes_the_picture_and_a_reload_keeps_it(page: Any) -> None:
    open_latent(page)
    before = pixels(page, ".main-picture")
    slider = page.get_by_label("eigenvector 1")
    slider.focus()
    for _ in range(40):
        slider.press("ArrowRight")
    changes(page, ".main-picture", before)
    hash_has(page, "moves=\\d:2(&|$)")
    moved = settled(page, ".main-picture")
    go(page, "Latent space")  # where the page is already
    page.reload()
    wait_for_latent(page)
    assert page.get_by_label("eigenvector 1").input_value() == "2"
    page.get_by_text("D says").wait_for()  # after the picture
    assert settled(page, ".main-picture") == moved


def test_the_pad_works_by_keyboard_and_by_pointer(page: Any) -> None:
    open_latent(page)
    knob = page.get_by_role("slider", name="Place between the pins")
    for _ in range(2):
        before = pixels(page, ".main-picture")
        for _ in range(5):
            knob.press("Shift+ArrowLeft")
        changes(page, ".main-picture", before)
        assert knob.get_attribute("aria-valuetext").startswith(("0% across, 50% down", "40% across, 10% down"))
        before = pixels(page, ".main-picture")
        box = page.locator(".pad").bounding_box()
        page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.1 * box["height"])
        changes(page, ".main-picture", before)


def test_an_upload_that_is_no_image_is_a_message_and_the_page_stays_up(page: Any, tmp_path: Path) -> None:
    open_latent(page)
    (tmp_path / "image.png").write_text("no image")
    page.get_by_label("An image to project").set_input_files(tmp_path / "image.png")
    message = page.get_by_role("alert").get_by_text("This file is not an image that can be read.")
    message.wait_for()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert 0 <= message.bounding_box()["y"] < 900
    before = pixels(page, ".main-picture")
    page.get_by_role("slider", name="Place between the pins").press("Shift+ArrowUp")
    changes(page, ".main-picture", before)


def test_the_point_cloud_of_a_training_moves(page: Any) -> None:
    go(page, "Live")
    page.get_by_text("step 0").wait_for()
    page.get_by_text("D's surface").click()
    page.get_by_text("Gradients").click()  # only points are left
    page.wait_for_function("() => document.querySelector('canvas.plane').width > 0")
    page.wait_for_timeout(300)
    before = pixels(page, "canvas.plane")
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(
        "() => Number(/step ([0-9,]+)/.exec(document.querySelector('main').textContent)[1].replaceAll(',', '')) > 20"
    )
    assert page.get_by_role("status").filter(has_text="steps/s").count() == 0  # it would be read out without end
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused").wait_for()
    changes(page, "canvas.plane", before)
    step = int(re.findall(r"step (\d+)", page.inner_text("main"))[0])
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("g")
    page.get_by_text(f"step {step + 1} ").wait_for()
    page.get_by_text("What was changed by hand on the way", exact=False).or_(
        page.get_by_text("changed by hand")
    ).first.wait_for()
    page.reload()
    page.get_by_text(f"step {step + 1} ").wait_for()  # the training is the server's
    assert not page.get_by_label("Gradients").is_checked()


def test_a_distribution_is_drawn_by_keyboard(page: Any) -> None:
    go(page, "Live")
    page.get_by_role("button", name="Draw a distribution").click()
    for key in ("ArrowRight", " ", "ArrowUp", "ArrowUp", " "):
        page.keyboard.press(key)
    page.get_by_role("button", name="Train on it").click()
    page.get_by_role("heading", name="vanilla on drawn by hand").wait_for()
    page.get_by_role("button", name="Restart").click()
    page.get_by_role("heading", name="vanilla on ring").wait_for()


def test_the_timeline_shows_other_grids(page: Any) -> None:
    go(page, "Runs")
    page.get_by_role("link", name="images").click()
    page.get_by_text("Step 6:").wait_for()
    page.get_by_label("Step of the sample grid").press("ArrowLeft")
    page.get_by_text("Step 4:").wait_for()
    page.wait_for_function("() => document.querySelector('img.picture').naturalWidth > 0")
    page.wait_for_function("() => location.hash.includes('step=4')")
    page.reload()
    page.get_by_text("Step 4:").wait_for()
    assert page.locator("svg.chart").count() >= 4


def test_pictures_that_are_not_square_keep_their_shape(page: Any) -> None:
    open_latent(page, "wide")
    answer = page.evaluate(
        "() => fetch(`api/runs/${location.hash.split(/[/?]/)[2]}/frame`, {method: 'POST', body: JSON.stringify("
        "{pins: [1, 2, 3, 4].map((seed) => ({seed})), x: 0.5, y: 0.5})}).then((a) => a.arrayBuffer())"
        ".then((bytes) => new Uint8Array(bytes).join())"
    )
    values = pixels(page, ".main-picture").split(",")
    assert values[::4] == answer.split(",")
    for selector in (".main-picture", ".tile canvas", ".pin canvas"):
        box = page.locator(selector).first.bounding_box()
        assert box["width"] / box["height"] == pytest.approx(2, rel=0.05)


def test_a_slow_answer_does_not_replace_that_to_a_newer_question(page: Any) -> None:
    open_latent(page)
    page.evaluate(
        """() => {
          const real = window.fetch;
          let walls = 0;
          window.fetch = async (path, options) => {
            const answer = await real(path, options);
            if (path.endsWith('/wall') && ++walls === 1) await new Promise((done) => setTimeout(done, 700));
            return answer;
          };
        }"""
    )
    for _ in range(2):
        page.get_by_role("button", name="More").click()
    page.get_by_title("seed 48", exact=True).wait_for()
    page.wait_for_timeout(800)
    shown = pixels(page, ".tile canvas")
    hash_has(page, "wall=48")
    page.reload()
    wait_for_latent(page)
    assert pixels(page, ".tile canvas") == shown
    page.get_by_role("button", name="Pin B").click()
    page.get_by_role("button", name="Sample of seed 48: make it pin B").click()
    page.get_by_text("Pin B: seed 48").wait_for()


def test_a_projected_image_becomes_the_pin_that_was_chosen_before(page: Any, tmp_path: Path) -> None:
    open_latent(page)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "image.png")
    page.get_by_role("button", name="Pin B").click()
    page.get_by_label("An image to project").set_input_files(tmp_path / "image.png")
    page.get_by_role("button", name="Pin C").click()
    page.get_by_text("Pin B is now the closest image").wait_for()
    hash_has(page, "pins=1.0,i[0-9a-f]+,3.2,4.3")


def test_an_address_that_does_not_fit_is_put_right(page: Any) -> None:
    open_latent(
        page,
        parameters="?pins=i0123456789ab,7.99,9&x=left&from=99&to=1.5&label=77&moves=2:99,a:b,77:1&method=constructor"
        "&wall=-3&t=9",
    )
    page.get_by_role("alert").get_by_text("A projected image is no longer there").wait_for()
    page.get_by_text("Pin A: seed 1, class 0").wait_for()
    page.get_by_role("button", name="Pin B").click()
    page.get_by_text("Pin B: seed 7, class 1").wait_for()
    before = pixels(page, ".main-picture")
    page.get_by_role("slider", name="Place between the pins").press("Shift+ArrowUp")
    changes(page, ".main-picture", before)


def test_another_address_of_the_same_run_is_shown(page: Any) -> None:
    open_latent(page, parameters="?x=0.25")
    visit(page, page.evaluate("location.hash").replace("0.25", "0.75"))
    page.wait_for_function("() => document.querySelector('.knob')?.ariaValueNow === '75'")


def test_the_content_can_be_skipped_to(page: Any) -> None:
    open_latent(page)
    address = page.evaluate("location.hash")
    page.get_by_text("Skip to content").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.wait_for_timeout(200)
    assert page.evaluate("location.hash") == address


def test_the_focus_stays_where_it_is_while_the_table_changes(page: Any, folder: Path) -> None:
    go(page, "Runs")
    link = page.get_by_role("table").get_by_role("link", name="images")
    link.focus()
    metrics = folder / "images" / "metrics.jsonl"
    with metrics.open("a") as file:
        file.write('{"step": 7, "images": 112, "seconds": 1.0}\n')
    page.get_by_text("7 of 6").wait_for()
    assert link.evaluate("(link) => link === document.activeElement")
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))


def test_a_lost_connection_is_one_message(page: Any) -> None:
    page.route("**/api/runs", lambda route: route.abort())
    go(page, "Runs")
    page.get_by_role("alert").get_by_text("The connection to the server is lost.").wait_for()
    page.get_by_role("button", name="Dismiss this message").click()
    with page.expect_request("**/api/runs"):  # the next attempt
        pass
    page.wait_for_timeout(200)
    assert page.get_by_role("alert").inner_text() == ""
    page.unroute("**/api/runs")


def test_a_tab_in_the_background_leaves_its_connection_to_others(page: Any) -> None:
    """A browser opens six connections to a server, and a stream of events holds one."""
    with page.expect_response("**/api/runs"):
        go(page, "Runs")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/runs")):
        page.evaluate(HIDDEN, True)
    with page.expect_response("**/api/runs"):
        page.evaluate(HIDDEN, False)
    assert page.get_by_role("alert").inner_text() == ""


def test_a_refused_setting_is_put_back(page: Any) -> None:
    go(page, "Live")
    loss, penalty = page.locator("select").nth(0), page.locator("select").nth(1)
    page.wait_for_function("() => document.querySelector('select')?.value")
    loss.select_option("wasserstein")
    page.wait_for_function("() => document.querySelectorAll('select')[1].value !== 'none'")
    before = penalty.input_value()
    penalty.select_option("none")
    page.get_by_role("alert").get_by_text("this loss has no minimum", exact=False).wait_for()
    assert penalty.input_value() == before
    page.get_by_role("button", name="Restart").click()


def test_curves_are_drawn_again_after_a_restart(page: Any) -> None:
    go(page, "Live")
    for _ in range(2):
        page.get_by_role("button", name="Restart").click()
        page.get_by_text("step 0 ").wait_for()
        page.wait_for_function("() => document.querySelectorAll('svg.chart').length === 0")
        page.get_by_role("button", name="Step", exact=True).click()
        page.locator("svg.chart circle").first.wait_for()  # a line of one point cannot be seen


def test_a_phone_scrolls_over_the_plane(browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 700}, has_touch=True)
    page = context.new_page()
    page.goto(address)
    go(page, "Live")
    page.wait_for_function("() => document.querySelector('canvas.plane')?.width > 0")
    box = page.locator("canvas.plane").bounding_box()
    x, y, session = box["x"] + 100, box["y"] + 200, context.new_cdp_session(page)
    for kind, up in (("touchStart", 0), *(("touchMove", 20 * move) for move in range(1, 8)), ("touchEnd", None)):
        points = [] if up is None else [{"x": x, "y": y - up}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(16)
    assert page.evaluate("scrollY") > 50
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_part_fits_into_360_pixels_in_light_and_dark(scheme: str, browser: Any, address: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    page.goto(address)
    for tab in ("Runs", "Training", "Latent space", "Live"):
        go(page, tab)
        if tab == "Latent space":
            wait_for_latent(page)  # its samples have names once they are there
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, tab
        brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)[0]")
        assert (brightness < 60) == (scheme == "dark")
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, input, select, canvas[role], a')].filter((e) => "
            "!e.innerText?.trim() && !e.ariaLabel && !e.labels?.length).map((e) => e.outerHTML)"
        )
        assert unnamed == []
    context.close()


def test_a_run_of_points_is_drawn_in_the_plane(page: Any) -> None:
    go(page, "Runs")
    page.get_by_role("link", name="more/points").click()
    page.get_by_text("Checkpoint of step 6").wait_for()
    page.get_by_label("Manifold grid").wait_for()
    page.wait_for_function("() => document.querySelector('canvas.plane').width > 300")
    page.wait_for_timeout(300)
    before = pixels(page, "canvas.plane")
    page.get_by_label("Manifold grid").check()
    changes(page, "canvas.plane", before)
