"""What the commands for trained GANs share: opening a run, labels and seeds on the command line, files to write."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ganzoo.cli import completions
from ganzoo.core.errors import UsageError
from ganzoo.core.paths import user_path

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.evaluation.feature_extractor import FeatureExtractor
    from ganzoo.gan import GAN
    from ganzoo.training.run import Run

F = TypeVar("F", bound=Callable[..., Any])
SEED_BITS = 32
MAX_SEED = (1 << 63) - 1


@dataclass(frozen=True)
class Trained:
    """The GAN of a checkpoint of a run; `name` is the run as the user wrote it."""

    name: str
    run: Run
    gan: GAN
    step: int

    @classmethod
    def open(cls, name: str, best: bool, device: str | None) -> Trained:
        from ganzoo.training.checkpoint import PREFIX
        from ganzoo.training.loading import load_checkpoint, newest_checkpoint
        from ganzoo.training.run import Run

        run = Run.open(name)
        checkpoint = newest_checkpoint(run, best)
        gan = load_checkpoint(run, checkpoint, device)
        return cls(click.format_filename(name), run, gan, int(checkpoint.name.removeprefix(PREFIX)))

    @property
    def class_names(self) -> list[str]:
        return self.run.config["dataset"]["class_names"] or [str(number) for number in range(self.gan.classes)]

    def labels(self, words: Sequence[str], count: int) -> list[int] | None:
        """The classes that `--label` asks for, repeated in turn until there are `count`; None for the GAN's own."""
        indices = [class_index(word, self.gan, self.class_names) for word in words]
        return [indices[i % len(indices)] for i in range(count)] if indices else None

    def text(self, **entries: object) -> dict[str, object]:
        """What pictures and films store about where they come from."""
        return {"run": self.name, "step": self.step, **entries}


def class_index(label: str, gan: GAN, names: list[str]) -> int:
    """The number of the class that the user calls `label`, by its name or number. UsageError if there is none."""
    from ganzoo.gan.sampling import class_number

    if not gan.conditional:
        raise UsageError("This GAN is not conditional: it takes no --label.")
    try:
        return class_number(label, gan.classes, names)
    except UsageError as refusal:
        raise UsageError(f"--label {refusal}") from None


def trained_options(function: F) -> F:
    """The argument RUN and the options that choose its checkpoint and the device."""
    function = click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="[default: auto]")(function)
    function = click.option(
        "--best", is_flag=True, help="Use the best checkpoint (see train --evaluate-every), not the last."
    )(function)
    return click.argument("name", metavar="RUN", shell_complete=completions.runs)(function)


def out_options(default: str, help: str) -> Callable[[F], F]:
    """The options for the file to write."""

    def decorate(function: F) -> F:
        function = click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")(function)
        return click.option("--out", metavar="FILE", default=default, show_default=True, help=help)(function)

    return decorate


label_option = click.option(
    "--label", "labels", multiple=True, metavar="L",
    help="Class, by number or name; repeat it for several, which take turns.",
)  # fmt: skip


class Seeds(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.4
    """Whole numbers separated by commas, and ranges: 1,7,9 or 0-4."""

    name = "seeds"

    def convert(self, value: Any, parameter: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        try:
            return parse_seeds(value)
        except ValueError as error:
            self.fail(str(error), parameter, ctx)


def parse_seeds(text: str) -> list[int]:
    """The numbers of "1,7,9" or "0-4,8". ValueError, with the reason, for anything else."""
    seeds: list[int] = []
    for part in text.replace(" ", "").split(","):
        low, dash, high = part.partition("-")
        if not (low.isdecimal() and low.isascii() and (not dash or (high.isdecimal() and high.isascii()))):
            raise ValueError(f"{text!r} is not a list of seeds: expected numbers such as 1,7,9 or 0-4.")
        first, last = int(low), int(high) if dash else int(low)
        if last > MAX_SEED or not 0 <= last - first < 10_000:
            raise ValueError(
                f"{part!r} is not a seed or a range of at most 10,000 seeds, from the smaller to the larger."
            )
        seeds += range(first, last + 1)
    return seeds


def new_seed() -> int:
    """A random seed, for commands that are given none."""
    return secrets.randbits(SEED_BITS)


def again(*words: object, labels: Sequence[str] = (), **options: object) -> str:
    """The line that shows the command which makes the same result again; options that are None or False are left out.

    A list of seeds is written with commas.
    """
    command = ["ganzoo", *map(str, words)]
    for label in labels:
        command += ["--label", label]
    for option, value in options.items():
        if value is True:
            command.append(f"--{option}")
        elif value is not None and value is not False:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            command += [f"--{option.replace('_', '-')}", text]
    return f"Again  {shlex.join(command)}"


def check_target(out: str, overwrite: bool, endings: Sequence[str]) -> Path:
    """The path of `--out`. UsageError unless it has one of these endings, in a folder that exists, and is free."""
    target = user_path(out)
    if target.suffix.lower() not in endings:
        raise UsageError(f"--out {out}: expected a file that ends in {' or '.join(endings)}.")
    if not target.parent.is_dir():
        raise UsageError(f"--out {out}: the directory {target.parent} does not exist.")
    if target.is_dir():
        raise UsageError(f"--out {out} is a directory.")
    if target.exists() and not overwrite:
        raise UsageError(f"{out} exists. Choose another --out, or add --overwrite.")
    return target


def pictures(trained: Trained, values: Tensor) -> list[Tensor]:
    """A picture uint8 [C, H, W] of each of the samples, as their modality shows them.

    If it shows many in one plot, as it does points, each is drawn together with those before it: a path.
    """
    from ganzoo.data.modality import get_modality

    field = trained.gan.spec.target
    modality = get_modality(field.modality)
    images = modality.images(values, field) if modality.in_grid else None
    if images is not None:
        return list(images)
    return [modality.picture(values[: i + 1], field, 1) for i in range(len(values))]


def picture(trained: Trained, values: Tensor, columns: int) -> Tensor:
    """One picture uint8 [C, H, W] of samples, in rows of `columns` or as one plot."""
    from ganzoo.data.modality import get_modality

    field = trained.gan.spec.target
    return get_modality(field.modality).picture(values, field, columns)


def require_images(trained: Trained, what: str) -> None:
    """UsageError unless each sample can be shown as an image."""
    from ganzoo.data.modality import get_modality

    modality = get_modality(trained.gan.spec.kind)
    if not modality.in_grid:
        raise UsageError(f"{what} needs images, and this run generates {modality.noun}.")


def classifier(trained: Trained, update: Callable[[str], None] | None) -> tuple[FeatureExtractor, Sequence[str]]:
    """The classifier of the run's data, trained on first use, and the names of classes. UsageError without labels."""
    from ganzoo.data.modality import as_images
    from ganzoo.evaluation.feature_extractor import FeatureExtractor
    from ganzoo.evaluation.measure import load_splits

    train, test = load_splits(trained.run)
    if train.labels is None or as_images(train.values[:1], train.spec.target) is None:
        raise UsageError(f"{train.name} has no images with labels, which a classifier could learn from.")
    return FeatureExtractor.load_or_train(train, test, trained.gan.device, update), train.class_names


def write_npz(target: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays, numbers and texts to an .npz file, atomically."""
    import numpy as np

    from ganzoo.core.files import atomic

    with atomic(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{name: np.asarray(value) for name, value in arrays.items()})  # type: ignore[arg-type]
