"""`ganzoo project RUN IMAGE`: find the latent of an image."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli.trained import Trained, again, check_target, classifier, out_options, trained_options, write_npz
from ganzoo.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.cli.console import Console
    from ganzoo.latents.projection import Features, Projection

FROM_DATA = re.compile(r"(train|test):(\d{1,9})")
FILM_FPS = 15


@click.command()
@trained_options
@click.argument("image")
@click.option("--label", metavar="L", help="Class to search in, by number or name.  [default: all]")
@click.option(
    "--features", type=click.Choice(["discriminator", "classifier", "none"]), default="discriminator",
    show_default=True,
    help="What to compare besides pixels: features of the GAN's discriminator, or of a classifier of its data.",
)  # fmt: skip
@click.option("--starts", type=click.IntRange(1, 1000), default=8, show_default=True, help="Latents to start from.")
@click.option("--steps", type=click.IntRange(0, 100_000), default=200, show_default=True, help="Steps of optimisation.")
@click.option(
    "--candidates",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="Random latents of which the best become starts.",
)
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), default=0, show_default=True, help="Random seed.")
@click.option("--film", metavar="FILE", help="Film the way there: FILE.gif, .apng or .mp4.")
@out_options(
    "projection.png", "FILE.png: the image, its projection, and the best random sample. FILE.npz: the latent as well."
)
def project(
    name: str, image: str, label: str | None, features: str, starts: int, steps: int, candidates: int, seed: int,
    film: str | None, out: str, overwrite: bool, best: bool, device: str | None,
) -> None:  # fmt: skip
    """Find the latent whose image is closest to IMAGE.

    IMAGE is a picture, which is cropped and scaled to what the GAN generates, or an image of the run's data: test:17,
    train:17. A GAN that reproduces its training images better than held-out ones has memorised them.

    \b
    ganzoo project runs/cgan-mnist-001 digit.png --film way.gif
    ganzoo project runs/cgan-mnist-001 test:17
    """
    from ganzoo import latents
    from ganzoo.cli.console import Console
    from ganzoo.cli.evaluate import progress
    from ganzoo.data import film as films

    target = check_target(out, overwrite, (".png", ".npz"))
    film_target = None if film is None else check_target(film, overwrite, films.ENDINGS)
    if film_target is not None:
        films.check_possible(film_target, FILM_FPS)
    trained = Trained.open(name, best, device)
    if trained.run.spec.kind != "images":
        raise UsageError(f"Projection is of images, and this run generates {trained.run.spec.kind}.")
    latents.require_latent(trained.gan)
    wanted = _read(trained, image)
    classes = None if label is None else trained.labels([label], 1)
    console = Console(highlight=False)
    with progress(console) as update:
        compared = _features(trained, features, update)
        found = latents.project(
            trained.gan, wanted, classes[0] if classes else None, compared, starts, steps, candidates, seed,
            lambda step: update(f"projecting: step {step:,} of {steps:,}"),
        )  # fmt: skip
    text = trained.text(target=image, seed=seed, psnr=f"{found.psnr:.2f}")
    _write(target, wanted, found, text)
    if film_target is not None:
        films.write(_frames(wanted, found.way), film_target, FILM_FPS, text, hold=2)
    _report(trained, found, candidates, console)
    console.print_line(" and ".join(filter(None, (out, film))) + f" written (seed {seed})")
    console.print_line(
        again("project", name, image, label=label, features=features, starts=starts, steps=steps,
              candidates=candidates, seed=seed, best=best, film=film, out=out)
    )  # fmt: skip


def _read(trained: Trained, image: str) -> Tensor:
    """The image to project, uint8 [C, S, S]: a file, or an example of the run's data."""
    from ganzoo.data import imaging

    spec = trained.run.spec
    match = FROM_DATA.fullmatch(image)
    if match is None or Path(image).exists():
        return imaging.read_fitted(Path(image), spec.shape)
    import torch

    from ganzoo.evaluation.measure import load_splits

    train, test = load_splits(trained.run)
    data, index = train if match[1] == "train" else test, int(match[2])
    if data is None:
        raise UsageError(f"{image}: {train.name} has no test split.")
    if index >= len(data):
        raise UsageError(f"{image}: {data.name} has {len(data):,} {data.split} images, the last is {len(data) - 1}.")
    return torch.from_numpy(data.values[index].copy())


def _features(trained: Trained, kind: str, update: Callable[[str], None] | None) -> Features | None:
    from ganzoo import latents

    if kind == "none":
        return None
    if kind == "discriminator":
        return latents.discriminator_features(trained.gan)
    extractor, _ = classifier(trained, update)
    return lambda images, _: extractor.differentiable(images)


def _write(target: Path, wanted: Tensor, found: Projection, text: dict[str, object]) -> None:
    import torch

    from ganzoo.data import imaging

    if target.suffix.lower() == ".png":
        return imaging.save(imaging.grid(torch.stack([wanted, found.image, found.random]), 3), target, text)
    arrays: dict[str, Any] = {
        "image": wanted.numpy(),
        "projection": found.image.numpy(),
        "z": found.latents.z.cpu().numpy(),
    }
    if found.latents.condition is not None:
        arrays["condition"] = found.latents.condition.cpu().numpy()
    write_npz(target, arrays | text)


def _frames(wanted: Tensor, way: Tensor) -> list[Tensor]:
    """The image beside each step of the way."""
    import torch

    from ganzoo.data import imaging

    return [imaging.grid(torch.stack([wanted, step]), 2) for step in way]


def _report(trained: Trained, found: Projection, candidates: int, console: Console) -> None:
    console.print_line(
        f"PSNR      {found.psnr:.1f} dB; best of {candidates:,} random samples: {found.random_psnr:.1f} dB"
    )
    console.print_line(f"Starts    {', '.join(f'{value:.1f}' for value in found.starts[:8])} dB")
    if found.distance is not None:
        console.print_line(f"Features  squared distance {found.distance:.4f} of their squared length")
    console.print_line(f"Noise     {found.length:.2f} times as long as that of samples")
    if found.latents.condition is not None:
        label = int(found.latents.condition[0, : trained.gan.classes].argmax())
        console.print_line(f"Class     {trained.class_names[label]}")
