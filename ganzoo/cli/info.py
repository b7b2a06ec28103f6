"""`ganzoo info ARCHITECTURE`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ganzoo.cli import completions
from ganzoo.core import config as configs
from ganzoo.core import registry
from ganzoo.core.plugin import expected_failures
from ganzoo.core.spec import DataSpec

SIDES = {"generator": "the generator", "discriminator": "the discriminator", "both": "both networks"}
COUNT = click.IntRange(min=1)


@click.command()
@click.argument("name", metavar="ARCHITECTURE", shell_complete=completions.architectures)
@click.option("--image-size", type=COUNT, show_default="28", help="Image size to count parameters for.")
@click.option("--channels", type=COUNT, show_default="1", help="Number of channels.")
@click.option("--classes", type=COUNT, show_default="10", help="Number of classes.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completions.settings,
    help="Change a setting; repeat for several.",
)
def info(
    name: str, image_size: int | None, channels: int | None, classes: int | None, overrides: tuple[str, ...]
) -> None:
    """Show an architecture's paper, settings and networks.

    ARCHITECTURE is a name or FILE.py:CLASS.
    """
    from ganzoo.cli.console import Console, escape, table
    from ganzoo.cli.overrides import key_values
    from ganzoo.gan import build

    entry = registry.find_architecture(name)
    card = entry.card
    config = configs.make(card.Config, key_values(overrides))
    console = Console()
    console.print(f"[bold]{escape(entry.name)}[/]: {escape(card.summary)}", highlight=False)
    console.print(escape(card.paper), highlight=False)
    console.print(f"from {escape(entry.distribution)} {entry.version} ({entry.target})", highlight=False)
    if card.conditional and "generator" not in card.steers:
        console.print("semi-supervised: needs data with labels, from which the discriminator alone learns")
    elif card.conditional:
        console.print("conditional: needs data with labels, and generates the class you ask for", highlight=False)
    if card.unpaired:
        console.print("unpaired: needs two sets of images, and turns images of the first into images of the second")
    elif card.paired:
        console.print("paired: needs data with an input image for each image, and turns the input into the image")
    console.print(escape(_made_of(config)), highlight=False)
    console.print(escape(_meant_for(card, config)), highlight=False)
    for check, reason in expected_failures(card, config).items():
        console.print(f"known to fail the check {escape(check)}: {escape(str(reason))}", highlight=False)

    rows = [
        (s.name, configs.format_value(getattr(config, s.name)), s.type_name, s.help)
        for s in configs.settings(card.Config)
    ]
    console.print()
    console.print(table(("setting", "value" if overrides else "default", "type", "what it does"), rows))
    for condition, defaults in card.Config.variants.items():
        console.print(f"{condition} changes the defaults to {_changes(defaults)}.", highlight=False)

    if card.recipes:
        recipes = [(name, recipe.summary, _changes(recipe.settings)) for name, recipe in card.recipes.items()]
        console.print()
        console.print(table(("recipe", "for which data", "settings"), recipes))

    sampling = configs.settings(card.Sampling)
    if sampling:
        rows = [(s.name, configs.format_value(s.default), s.type_name, s.help) for s in sampling]
        console.print()
        console.print(table(("sampling setting", "default", "type", "what it does, in ganzoo sample RUN --set"), rows))

    image_size = config.image_size or image_size
    asked = any(number is not None for number in (image_size, channels, classes))
    spec = None if asked and "images" in card.kinds else card.example(config)
    spec = spec or _images(card, image_size or 28, channels or 1, 10 if classes is None else classes)
    gan = build(entry, config, spec)
    networks = [(part, f"{_parameters(getattr(gan, part)):,}") for part in ("generator", "discriminator")]
    console.print()
    console.print(table(("network", f"parameters for {spec.target}"), networks))


def _images(card: Any, size: int, channels: int, classes: int) -> DataSpec:
    """Images with what the card asks for."""
    return DataSpec(channels, size, classes if card.conditional else 0, channels if card.paired else 0)


def _made_of(config: Any) -> str:
    """The pieces that the settings choose, in one line."""
    pieces = [f"{config.backbone} backbone"] if hasattr(config, "backbone") else []
    pieces += ["losses of its own" if config.loss == "own" else f"{config.loss} loss"]
    if config.penalty != "none":
        lazy = f" in one of {config.penalty_interval} steps" if config.penalty_interval > 1 else ""
        pieces += [f"{config.penalty} penalty{lazy}"]
    if config.spectral_norm != "none":
        pieces += [f"spectral norm in {SIDES[config.spectral_norm]}"]
    pieces += [name.replace("_", " ") for name in ("path_length", "lecam", "orthogonal") if getattr(config, name)]
    pieces += [] if config.augmentation == "none" else [f"augmentation {config.augmentation}"]
    return f"made of: {', '.join(pieces)}"


def _meant_for(card: Any, config: Any) -> str:
    """The kinds of data and the length of a training unless --steps, --epochs or --minutes is given."""
    given = " with labels" * card.conditional + " with an input each" * card.paired
    images = config.steps * config.discriminator_steps * config.batch_size
    return f"meant for: {' or '.join(card.kinds)}{given}; {config.steps:,} steps, which see {images:,} real examples"


def _changes(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={configs.format_value(value)}" for name, value in settings.items())


def _parameters(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
