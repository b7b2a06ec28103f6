"""`ganzoo walk RUN`: a film of a walk through latent space."""

from __future__ import annotations

import click

from ganzoo.cli.repeated import Command
from ganzoo.cli.trained import (
    Seeds,
    Trained,
    again,
    check_target,
    label_option,
    new_seed,
    out_options,
    pictures,
    trained_options,
)
from ganzoo.core.errors import UsageError

POINTS = 4
"""Number of points that are drawn if no seeds are given, or more for more labels."""


@click.command(cls=Command)
@trained_options
@click.option("--seeds", type=Seeds(), metavar="A,B,...", help="Points to pass through.  [default: 4 random ones]")
@click.option("--frames", type=click.IntRange(2, 100_000), default=120, show_default=True, help="Length of the film.")
@click.option("--fps", type=click.FloatRange(0, 240, min_open=True), default=30, show_default=True, help="Speed.")
@label_option
@click.option(
    "--path",
    type=click.Choice(["slerp", "lerp"]),
    default="slerp",
    show_default=True,
    help="Along a sphere, or straight.",
)
@click.option("--truncation", type=click.FloatRange(0, min_open=True), metavar="T", help="Draw noise beyond +-T again.")
@out_options("walk.gif", "FILE.gif, .apng, .mp4: a film. FILE.png: all its frames in one picture.")
def walk(
    name: str, seeds: list[int] | None, frames: int, fps: float, labels: tuple[str, ...], path: str,
    truncation: float | None, out: str, overwrite: bool, best: bool, device: str | None,
) -> None:  # fmt: skip
    """Film a closed walk through latent space.

    The walk passes through the samples of the given seeds, those of `ganzoo sample RUN --count 1 --seed A`, and ends
    where it began. Of a conditional GAN, every point has its class, and classes are mixed on the way.

    \b
    ganzoo walk runs/cgan-mnist-001 --seeds 1,7,9 --frames 120 --out walk.gif
    ganzoo walk runs/cgan-mnist-001 --label 3 --label 8 --out threes-and-eights.mp4
    """
    from ganzoo import latents
    from ganzoo.cli.console import Console
    from ganzoo.data import film, imaging

    target = check_target(out, overwrite, (*film.ENDINGS, ".png"))
    if target.suffix.lower() != ".png":
        film.check_possible(target, fps)
    seeds = seeds or [new_seed() for _ in range(max(POINTS, len(labels)))]
    _check_seeds(seeds, labels)
    trained = Trained.open(name, best, device)
    points = latents.of_seeds(trained.gan, seeds, trained.labels(labels, len(seeds)), truncation)
    steps = latents.walk(points, frames, getattr(latents, path))
    shown = pictures(trained, latents.render(trained.gan, steps))
    text = trained.text(seeds=",".join(map(str, seeds)), labels=",".join(labels), frames=frames, path=path)
    if target.suffix.lower() == ".png":
        import torch

        imaging.save(imaging.grid(torch.stack(shown), columns=-(-frames // len(seeds))), target, text)
    else:
        film.write(shown, target, fps, text)
    console = Console(highlight=False)
    console.print_line(f"{frames:,} frames written to {target} (seeds {', '.join(map(str, seeds))})")
    console.print_line(
        again("walk", name, labels=labels, seeds=seeds, frames=frames, fps=None if fps == 30 else f"{fps:g}",
              path=None if path == "slerp" else path, truncation=truncation, best=best, out=out)
    )  # fmt: skip


def _check_seeds(seeds: list[int], labels: tuple[str, ...]) -> None:
    """UsageError if there are too few points for a walk, or for the classes it should pass through."""
    least = max(2, len(labels))
    if len(seeds) < least:
        why = "one for each --label" if len(labels) > 1 else "a walk is from point to point"
        raise UsageError(f"--seeds has {len(seeds)}; give at least {least}: {why}.")
