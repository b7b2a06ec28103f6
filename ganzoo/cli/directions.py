"""`ganzoo directions RUN`: find directions of latent space along which images change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ganzoo.cli.trained import (
    Trained,
    again,
    check_target,
    classifier,
    label_option,
    new_seed,
    out_options,
    picture,
    trained_options,
    write_npz,
)
from ganzoo.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ganzoo.cli.console import Console
    from ganzoo.latents import Latents
    from ganzoo.latents.directions import Directions

STEPS = 9


@click.command()
@trained_options
@click.option(
    "--method", type=click.Choice(["ganspace", "sefa", "classes"]), default="ganspace", show_default=True,
    help="ganspace: principal components of activations. sefa: eigenvectors of weights. classes: differences of "
    "means, with the classes that a classifier of the data sees.",
)  # fmt: skip
@click.option("--count", type=click.IntRange(1, 1000), default=8, show_default=True, help="Number of directions.")
@click.option(
    "--extent",
    type=click.FloatRange(0, min_open=True),
    default=3.0,
    show_default=True,
    help="How far to go, in standard deviations.",
)
@label_option
@click.option(
    "--seed", type=click.IntRange(0, (1 << 63) - 1), help="The sample that is changed.  [default: random, printed]"
)
@out_options("directions.png", "FILE.png: a row of pictures for each direction. FILE.npz: the vectors.")
def directions(
    name: str, method: str, count: int, extent: float, labels: tuple[str, ...], seed: int | None, out: str,
    overwrite: bool, best: bool, device: str | None,
) -> None:  # fmt: skip
    """Find directions of latent space that change images.

    The one with the largest effect comes first.

    The picture has a row for each direction: the sample of `--seed` in the middle, changed by up to --extent standard
    deviations of the noise to both sides.

    \b
    ganzoo directions runs/cgan-mnist-001 --seed 3 --label 2
    ganzoo directions runs/dcgan-mnist-001 --method classes --out classes.png
    ganzoo directions runs/dcgan-mnist-001 --method sefa --count 100 --out directions.npz
    """
    from ganzoo import latents
    from ganzoo.cli.console import Console, table

    target = check_target(out, overwrite, (".png", ".npz"))
    trained = Trained.open(name, best, device)
    seed = new_seed() if seed is None else seed
    console = Console(highlight=False)
    numbers = trained.labels(labels, len(labels))
    if method == "classes":
        found = _classes(trained, console)
    else:
        found = (latents.ganspace if method == "ganspace" else latents.sefa)(trained.gan, count, numbers)
    found = found.first(count)
    point = latents.of_seeds(trained.gan, [seed], numbers and numbers[:1])
    _write(trained, target, found, point, extent, seed)
    rows = [(i + 1, name, f"{effect:.3g}") for i, (name, effect) in enumerate(zip(found.names, found.effects.tolist()))]
    console.print(table(("row", "direction", "effect"), rows))
    console.print_line(
        "Effect: root mean square difference of values, 0 to 255 for images, between -3 and +3 standard deviations."
    )
    console.print_line(f"{len(found)} directions written to {target} (seed {seed})")
    console.print_line(
        again("directions", name, labels=labels, method=method, count=count, seed=seed, best=best, out=out,
              extent=None if extent == 3 else f"{extent:g}")
    )  # fmt: skip


def _classes(trained: Trained, console: Console) -> Directions:
    """Differences of class means, by the classifier of the run's data, which is trained on first use."""
    from ganzoo import latents
    from ganzoo.cli.evaluate import progress
    from ganzoo.data.modality import as_images
    from ganzoo.latents.directions import SAMPLES

    gan = trained.gan
    if gan.conditional:
        raise UsageError("This GAN is told the class: no direction of its noise changes it. Mix classes: ganzoo walk.")
    points = latents.sample(gan, SAMPLES)
    with progress(console) as update:
        extractor, names = classifier(trained, update)
    images = as_images(latents.render(gan, points).numpy(), gan.spec.target)
    assert images is not None
    return latents.class_means(gan, points, extractor(images)[1].argmax(1).cpu(), names)


def _write(trained: Trained, target: Path, found: Directions, point: Latents, extent: float, seed: int) -> None:
    from ganzoo import latents
    from ganzoo.data import imaging

    text = trained.text(seed=seed, method=found.method, extent=f"{extent:g}")
    if target.suffix.lower() == ".npz":
        vectors, effects = found.vectors.cpu().numpy(), found.effects.cpu().numpy()
        write_npz(target, {"vectors": vectors, "effects": effects, "names": found.names, **text})
        return
    samples = latents.render(trained.gan, latents.along(point, found, STEPS, extent))
    imaging.save(picture(trained, samples, STEPS), target, text)
