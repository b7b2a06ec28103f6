"""Response times of the page of `ganzoo explore`, measured in headless Chromium.

    python benchmarks/explore.py latent runs/dcgan-64        # from a slider's input event to the changed pixel
    python benchmarks/explore.py live                        # steps a second with the page open, and without

`latent` moves a direction's slider 30 times a second for ten seconds and counts pictures that came later than the next
move was due. Set OMP_NUM_THREADS=1 for one core. Both print the load of the machine, on which the numbers depend.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

MOVE = """
async ([moves, interval]) => {
  const slider = [...document.querySelectorAll('.slider input')].find((input) => input.min === '-4');
  const canvas = document.querySelector('.main-picture'), context = canvas.getContext('2d');
  const pixels = () => context.getImageData(0, 0, canvas.width, canvas.height).data.join();
  const frame = () => new Promise(requestAnimationFrame);
  const put = context.putImageData;
  let painted = () => {};
  context.putImageData = (...image) => { put.apply(context, image); painted(); };
  const times = [];
  for (let i = 0; i < moves; i++) {
    const began = performance.now(), before = pixels();
    slider.value = 4 * Math.sin(i / 7);
    const moved = performance.now();
    await new Promise((changed) => {
      painted = () => { if (pixels() !== before) changed(); };
      setTimeout(changed, 2000);
      slider.dispatchEvent(new Event('input'));
    });
    times.push(performance.now() - moved);
    while (performance.now() - began < interval) await frame();
  }
  context.putImageData = put;
  return times;
}
"""


@contextlib.contextmanager
def page(*arguments: str) -> Iterator[Any]:
    """The page of `ganzoo explore ARGUMENTS` in headless Chromium."""
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "ganzoo", "explore", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = re.findall("http\\S+", server.stdout.readline())[0]
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
                )
                opened = browser.new_page()
                opened.goto(address)
                yield opened
                browser.close()
        finally:
            server.terminate()


def latent(run: str, seconds: float = 10.0, rate: float = 30.0) -> None:
    """Print the time from input event to changed pixel, and the frames that were late."""
    with page(run) as opened:
        opened.get_by_role("link", name="Latent space").click()
        opened.get_by_text("eigenvector 1").wait_for(timeout=120_000)
        time.sleep(3)
        opened.evaluate(MOVE, [30, 1000 / rate])
        times = opened.evaluate(MOVE, [int(seconds * rate), 1000 / rate])
    late = sum(t > 1000 / rate for t in times)
    centiles = statistics.quantiles(times, n=100)
    print(f"{len(times)} moves: median {statistics.median(times):.1f} ms, 95% {centiles[94]:.1f} ms, {late} late")
    print(f"load {os.getloadavg()[0]:.1f}")


def live(seconds: float = 10.0, pairs: int = 3) -> None:
    """Print the steps a second of `vanilla` on `ring` with the page open, as a share of those without, interleaved."""
    shares = []
    with page("--train", "vanilla", "--dataset", "ring") as opened:
        opened.get_by_role("button", name="Play").click()
        time.sleep(3)

        here = opened.url

        def step() -> tuple[int, float]:
            home = opened.context.request.get(here.partition("#")[0] + "api/home").json()
            return home["live"]["step"], time.monotonic()

        for _ in range(pairs):
            first = step()
            time.sleep(seconds)
            watched = step()
            opened.goto("about:blank")
            time.sleep(0.5)
            left = step()
            time.sleep(seconds)
            alone = step()
            opened.goto(here)
            time.sleep(2)
            rates = [(b[0] - a[0]) / (b[1] - a[1]) for a, b in ((first, watched), (left, alone))]
            shares.append(rates[0] / rates[1])
            print(f"with the page {rates[0]:.1f} steps/s, without {rates[1]:.1f}, share {shares[-1]:.3f}")
    print(f"median share {statistics.median(shares):.3f}, load {os.getloadavg()[0]:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["latent", "live"])
    parser.add_argument("run", nargs="?")
    arguments = parser.parse_args()
    if arguments.kind == "latent":
        latent(arguments.run)
    else:
        live()


if __name__ == "__main__":
    main()
