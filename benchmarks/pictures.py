"""The pictures of the README, from finished runs.

    python benchmarks/pictures.py film runs/cgan-mnist-001 docs/images/film.gif
    python benchmarks/pictures.py enlarge restored.png docs/images/restored.png
    python benchmarks/pictures.py screenshot comparison.html docs/images/comparison.png
    python benchmarks/pictures.py explore runs docs/images

`film` joins the sample grids of a run, every frame captioned with its step: all up to step 1,000, where most happens,
then every third. `enlarge` repeats each pixel three times.
`screenshot` needs Chromium on the PATH, `explore` playwright as well: it shows the latent space of the newest run of
images in a folder, and trains `vanilla` on `ring` for LIVE_STEPS steps.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

FRAME_MS = 120
LAST_FRAME_MS = 3000
GREYS = 8
ALL_UP_TO_STEP = 1000
CAPTION_HEIGHT = 28
PAGE = (1180, 1380)
"""Width and height of the screenshot in pixels."""
EXPLORE = (1180, 860)
LIVE_STEPS = 1000


def film(run: Path, target: Path, scale: int = 2) -> None:
    """Write the run's sample grids, in order, as an animated GIF."""
    grids = {int(grid.stem.removeprefix("step-")): grid for grid in sorted((run / "samples").glob("step-*.png"))}
    steps = [step for i, step in enumerate(grids) if step <= ALL_UP_TO_STEP or (len(grids) - 1 - i) % 3 == 0]
    frames = [_captioned(_enlarged(Image.open(grids[step]), scale), f"step {step:,}") for step in steps]
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=True)


def enlarge(source: Path, target: Path, scale: int = 3) -> None:
    """Write `source` with every pixel `scale` times as wide and high."""
    _enlarged(Image.open(source), scale).save(target, optimize=True)


def screenshot(page: Path, target: Path) -> None:
    """Write the top of an HTML page as a browser shows it, in 64 colours."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("Chromium is not installed.")
    with tempfile.TemporaryDirectory() as profile:
        shot = Path(profile) / "shot.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        options += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        options += [f"--user-data-dir={profile}", f"--window-size={PAGE[0]},{PAGE[1]}", f"--screenshot={shot}"]
        subprocess.run([browser, *options, page.resolve().as_uri()], check=True, stderr=subprocess.DEVNULL)
        Image.open(shot).convert("RGB").quantize(64).save(target, optimize=True)


def explore(runs: Path, folder: Path) -> None:
    """Write explore-latent.png and explore-live.png: two parts of the page of `ganzoo explore`."""
    from explore import page  # beside this script

    train = ["--train", "vanilla", "--dataset", "ring", "--set", "batch_size=64"]
    with page(str(runs), *train) as opened:
        opened.set_viewport_size({"width": EXPLORE[0], "height": EXPLORE[1]})
        opened.get_by_role("link", name="Latent space").click()
        opened.get_by_text("D says").or_(opened.get_by_text("D's score")).wait_for(timeout=120_000)
        _shoot(opened, folder / "explore-latent.png")
        opened.get_by_role("link", name="Live").click()
        opened.get_by_label("Number of steps").fill(str(LIVE_STEPS))
        opened.get_by_role("button", name="steps", exact=True).click()
        opened.get_by_text(f"step {LIVE_STEPS:,} · paused").wait_for(timeout=600_000)
        opened.wait_for_timeout(1000)
        _shoot(opened, folder / "explore-live.png")


def _shoot(opened: Any, target: Path) -> None:
    with Image.open(io.BytesIO(opened.screenshot())) as shot:
        shot.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(target, optimize=True)


def _enlarged(image: Image.Image, scale: int) -> Image.Image:
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def _captioned(grid: Image.Image, text: str) -> Image.Image:
    frame = Image.new("L", (grid.width, grid.height + CAPTION_HEIGHT), 255)
    frame.paste(grid.convert("L"), (0, 0))
    ImageDraw.Draw(frame).text((4, grid.height + 4), text, fill=0, font=ImageFont.load_default(18))
    levels = frame.point(lambda value: round(value / 255 * (GREYS - 1)))
    result = Image.frombytes("P", frame.size, levels.tobytes())
    result.putpalette([level * 255 // (GREYS - 1) for level in range(GREYS) for _ in "rgb"])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["film", "enlarge", "screenshot", "explore"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    kinds = {"film": film, "enlarge": enlarge, "screenshot": screenshot, "explore": explore}
    kinds[arguments.kind](arguments.source, arguments.target)


if __name__ == "__main__":
    main()
