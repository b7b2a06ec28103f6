"""`ganzoo sample RUN`: generate images or points with a trained GAN."""

from __future__ import annotations

import itertools
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.cli import completions
from ganzoo.cli.methods import METHODS
from ganzoo.cli.trained import class_index
from ganzoo.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.core.spec import Field
    from ganzoo.data.modality import Modality
    from ganzoo.gan import GAN
    from ganzoo.training.run import Run


@click.command()
@click.argument("run", shell_complete=completions.runs)
@click.option("--count", type=click.IntRange(1, 10_000_000), default=64, show_default=True, help="Number of samples.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="L",
    help="Class to generate, by name or index:N; repeat it for several.",
)
@click.option(
    "--inputs", metavar="NAME", help="Paired GANs: data set to take the input images from.  [default: the run's]"
)
@click.option(
    "--split", type=click.Choice(["train", "test"]), default="test", show_default=True,
    help="Paired GANs: which split to take the input images from.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, (1 << 63) - 1),
    help="Random seed; the same seed gives the same samples.  [default: random, printed and stored in the output]",
)  # fmt: skip
@click.option(
    "--out", metavar="PATH",
    help="FILE.png: one picture of all samples. FILE.npz: arrays. FILE.wav, .gif, .csv: audio, video, points or rows. "
    "Any other path: a directory of PNG, WAV or GIF files.  [default: samples.png, or samples-2.png and so on]",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", shell_complete=completions.sampling,
    help="Change a sampling setting of the architecture (see ganzoo info); repeat for several.",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice([*METHODS]),
    help="Choose samples with the discriminator's help. topk: the best quarter. drs: rejection sampling. mh: "
    "Metropolis-Hastings.  [default: every sample]",
)  # fmt: skip
@click.option("--best", is_flag=True, help="Use the best checkpoint (see train --evaluate-every), not the last.")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="[default: auto]")
def sample(
    run: str, count: int, labels: tuple[str, ...], inputs: str | None, split: Any, seed: int | None, out: str | None,
    overwrite: bool, overrides: tuple[str, ...], method: str | None, device: str | None, best: bool,
) -> None:  # fmt: skip
    """Generate samples with a trained GAN.

    RUN is the directory of a run. A paired GAN turns input images into output images; the picture shows inputs, outputs
    and targets below each other.

    \b
    ganzoo sample runs/cgan-mnist-001 --label 3 --count 16 --seed 0
    ganzoo sample runs/cgan-mnist-001 --count 1000 --out samples.npz
    ganzoo sample runs/cgan-mnist-001 --count 1000 --out images/     # for --dataset folder:images
    ganzoo sample runs/pix2pix-mosaic-001 --count 10                 # from held-out images
    ganzoo sample runs/cgan-mnist-001 --method drs                   # see docs/latents.md
    ganzoo sample runs/stylegan2-001 --set truncation=0.5
    """
    from ganzoo.cli.overrides import key_values
    from ganzoo.core import config as configs
    from ganzoo.core.paths import user_path
    from ganzoo.data.modality import get_modality
    from ganzoo.gan.sampling import checked_settings
    from ganzoo.training.checkpoint import PREFIX
    from ganzoo.training.loading import load_checkpoint, newest_checkpoint
    from ganzoo.training.run import Run

    target = user_path(out or ("samples.png" if overwrite else _free("samples", ".png")))
    opened = Run.open(run)
    modality = get_modality(opened.spec.kind)
    _check_target(target, modality, overwrite)
    checkpoint = newest_checkpoint(opened, best)
    gan = load_checkpoint(opened, checkpoint, device)
    seed = secrets.randbits(32) if seed is None else seed
    sampling = configs.to_dict(checked_settings(gan.sampling_type, key_values(overrides)))
    names = opened.config["dataset"]["class_names"] or [str(number) for number in range(gan.classes)]
    class_labels = _class_labels(gan, count, labels, names)
    kinds, note = _generate(opened, gan, count, class_labels, seed, sampling, inputs, split, method)
    origin: dict[str, str | int] = {
        "run": click.format_filename(run),
        "step": int(checkpoint.name.removeprefix(PREFIX)),
        "seed": seed,
        "count": count,
        **_choices(labels, method, sampling),
    }
    fields = {name: opened.spec.given.get(name.removesuffix("s"), opened.spec.target) for name in kinds}
    samples = Samples(kinds, fields, class_labels, names, origin)
    _write(samples, target, modality, opened.spec.kind)
    _report(samples, f"{count:,} {modality.noun} written to {target} ({_how(origin)}){note}")


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated samples, and what is written to files with them."""

    kinds: Mapping[str, Tensor]
    """The samples; of a paired GAN also their inputs and targets, by name."""
    fields: Mapping[str, Field]
    """The description of each kind."""
    labels: Tensor | None
    class_names: list[str]
    origin: Mapping[str, str | int]
    """Text for the metadata of files: the run, the step, the seed."""

    @property
    def shown(self) -> list[tuple[Tensor, Field]]:
        return [(values, self.fields[name]) for name, values in self.kinds.items()]


def _choices(labels: Sequence[str], method: str | None, sampling: Mapping[str, Any]) -> dict[str, str]:
    """The options of the command line as text for the metadata of files, without those left at their defaults."""
    from ganzoo.core.config import format_value

    settings = " ".join(f"{name}={format_value(value)}" for name, value in sampling.items())
    choices = {"labels": ",".join(labels), "method": method or "", "sampling": settings}
    return {name: choice for name, choice in choices.items() if choice}


def _class_labels(gan: GAN, count: int, words: Sequence[str], names: list[str]) -> Tensor | None:
    """The classes that `--label` asks for, in turn; without any the GAN's own choice."""
    import torch

    own = gan.class_labels(count)
    indices = [class_index(word, gan, names) for word in words]
    return torch.tensor([indices[i % len(indices)] for i in range(count)]) if indices else own


def _generate(
    run: Run, gan: GAN, count: int, labels: Tensor | None, seed: int, sampling: dict[str, Any], inputs: str | None,
    split: Any, method: str | None,
) -> tuple[Mapping[str, Tensor], str]:  # fmt: skip
    """The samples, of a paired GAN with their inputs and targets, and a note on how they were chosen."""
    from ganzoo.core.spec import LABEL
    from ganzoo.gan.sampling import sampling_with
    from ganzoo.training.loading import generate_from_inputs

    if run.spec.given.keys() - {LABEL}:
        if method is not None:
            raise UsageError("This GAN does not generate from noise alone: --method chooses samples of noise.")
        return generate_from_inputs(gan, run, count, inputs, split, seed, sampling, labels), ""
    if inputs is not None:
        raise UsageError("This GAN is not paired: it takes no --inputs.")
    if method is None:
        return {run.spec.kind: gan.sample(count, labels, seed, sampling=sampling)}, ""
    with sampling_with(gan, sampling):
        samples, note = METHODS[method](run, gan, count, labels, seed)
    return {run.spec.kind: samples}, note


def _write(samples: Samples, target: Path, modality: Modality, kind: str) -> None:
    """Write the samples in the format of the target's ending, or a file of each into a directory."""
    ending = target.suffix.lower()
    if ending == ".npz":
        _write_npz(target, samples)
    elif ending == ".png":
        _write_picture(target, samples)
    elif ending == modality.suffix:
        modality.write(samples.kinds[kind], samples.fields[kind], target, samples.origin)
    else:
        _write_directory(target, samples)


def _report(samples: Samples, line: str) -> None:
    """Print the line, in a terminal below a preview."""
    from ganzoo.cli.console import Console
    from ganzoo.cli.terminal import draw

    console = Console(highlight=False)
    if console.is_terminal:
        draw(samples.shown, console)
    console.print_line(line)


def _free(stem: str, suffix: str) -> str:
    """The first name of STEM.SUFFIX, STEM-2.SUFFIX and so on that is not in use."""
    names = (f"{stem}{'' if number == 1 else f'-{number}'}{suffix}" for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def _how(origin: Mapping[str, str | int]) -> str:
    details = [f", {origin[name]}" for name in ("method", "sampling") if name in origin]
    return f"seed {origin['seed']}{''.join(details)}"


def _check_target(target: Path, modality: Modality, overwrite: bool) -> None:
    from PIL import Image

    files = dict.fromkeys([".png", ".npz", *([modality.suffix] if modality.suffix else [])])
    file = target.suffix.lower() in files
    if not file and not (modality.suffix and modality.one_per_file):
        choices = " or ".join(f"FILE{ending}" for ending in files)
        raise UsageError(f"--out {target}: this run generates {modality.noun}. Choose {choices}.")
    if not file and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"--out {target} exists and is not an empty directory.")
    if not file and target.suffix.lower() in Image.registered_extensions():
        raise UsageError(f"--out {target}: pictures are written as PNG. Choose {target.with_suffix('.png')}.")
    if file and target.is_dir():
        raise UsageError(f"--out {target} is a directory.")
    if file and target.exists() and not overwrite:
        raise UsageError(f"{target} exists. Choose another --out, or add --overwrite.")
    if file and not target.parent.is_dir():
        raise UsageError(f"--out {target}: the directory {target.parent} does not exist.")


def _write_picture(target: Path, samples: Samples) -> None:
    from ganzoo.data import imaging
    from ganzoo.data.modality import get_modality

    kinds = samples.shown
    values, field = kinds[0]
    columns = min(len(values), 8 if len(values) <= 64 else 16)
    if len(kinds) == 1:
        picture = get_modality(field.modality).picture(values, field, columns)
    else:
        shown = [get_modality(field.modality).images(values, field) for values, field in kinds]
        picture = imaging.grid(imaging.interleave([part for part in shown if part is not None], columns), columns)
    imaging.save(picture, target, samples.origin)


def _write_npz(target: Path, samples: Samples) -> None:
    import numpy as np

    from ganzoo.core.files import atomic

    arrays: dict[str, Any] = {name: np.array(value) for name, value in samples.origin.items()}
    arrays |= {kind: values.numpy() for kind, values in samples.kinds.items()}
    arrays |= {} if samples.labels is None else {"labels": samples.labels.cpu().numpy()}
    with atomic(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _write_directory(target: Path, samples: Samples) -> None:
    """Write a file for each example into a folder for each class; of several kinds, into a folder for each kind."""
    from ganzoo.data.modality import get_modality

    folders = folder_names(samples.class_names)
    for kind, values in samples.kinds.items():
        field = samples.fields[kind]
        digits, modality = len(str(len(values) - 1)), get_modality(field.modality)
        for i in range(len(values)):
            folder = target / kind if len(samples.kinds) > 1 else target
            folder = folder if samples.labels is None else folder / folders[int(samples.labels[i])]
            folder.mkdir(parents=True, exist_ok=True)
            modality.write(values[i : i + 1], field, folder / f"{i:0{digits}d}{modality.suffix}", samples.origin)


def folder_names(class_names: list[str]) -> list[str]:
    """A folder name for each class: the class names, or numbers if any of them cannot safely be a folder name."""
    usable = all(re.fullmatch(r"[^./\\\0][^/\\\0]{0,99}", name) for name in class_names)
    if usable and len({name.casefold() for name in class_names}) == len(class_names):
        return class_names
    return [str(number) for number in range(len(class_names))]
