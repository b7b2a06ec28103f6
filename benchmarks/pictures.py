"""The pictures of the README, from finished runs.

    python benchmarks/pictures.py film runs/cgan-mnist-001 docs/images/film.gif
    python benchmarks/pictures.py enlarge restored.png docs/images/restored.png
    python benchmarks/pictures.py screenshot comparison.html docs/images/comparison.png

`film` joins the sample grids of a run, every frame captioned with its step: all up to step 1,000, where most happens,
then every third. `enlarge` repeats each pixel three times.
`screenshot` needs Chromium on the PATH.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FRAME_MS = 120
LAST_FRAME_MS = 3000
GREYS = 8
ALL_UP_TO_STEP = 1000
CAPTION_HEIGHT = 28
PAGE = (1180, 1380)
"""Width and height of the screenshot in pixels."""


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
    parser.add_argument("kind", choices=["film", "enlarge", "screenshot"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    {"film": film, "enlarge": enlarge, "screenshot": screenshot}[arguments.kind](arguments.source, arguments.target)


if __name__ == "__main__":
    main()
