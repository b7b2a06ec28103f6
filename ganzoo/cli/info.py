"""`ganzoo info ARCHITECTURE`."""

from __future__ import annotations

from typing import Any

import click

from ganzoo.cli import completions
from ganzoo.core import config as configs
from ganzoo.core import registry
from ganzoo.core.plugin import expected_failures
from ganzoo.core.spec import DataSpec

COUNT = click.IntRange(min=1)


@click.command()
@click.argument("name", metavar="ARCHITECTURE", shell_complete=completions.architectures)
@click.option("--image-size", type=COUNT, default=28, show_default=True, help="Image size to count parameters for.")
@click.option("--channels", type=COUNT, default=1, show_default=True, help="Number of channels.")
@click.option("--classes", type=COUNT, default=10, show_default=True, help="Number of classes.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=completions.settings,
    help="Change a setting; repeat for several.",
)
def info(name: str, image_size: int, channels: int, classes: int, overrides: tuple[str, ...]) -> None:
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
    if card.conditional:
        console.print("conditional: needs data with labels, and generates the class you ask for", highlight=False)
    if card.paired:
        console.print("paired: needs data with an input image for each image, and turns the input into the image")
    for check, reason in expected_failures(card, config).items():
        console.print(f"known to fail the check {escape(check)}: {escape(str(reason))}", highlight=False)

    rows = [
        (s.name, configs.format_value(getattr(config, s.name)), s.type_name, s.help)
        for s in configs.settings(card.Config)
    ]
    console.print()
    console.print(table(("setting", "value" if overrides else "default", "type", "what it does"), rows))
    for condition, defaults in card.Config.variants.items():
        changes = ", ".join(f"{key}={configs.format_value(value)}" for key, value in defaults.items())
        console.print(f"{condition} changes the defaults to {changes}.", highlight=False)

    sampling = configs.settings(card.Sampling)
    if sampling:
        rows = [(s.name, configs.format_value(s.default), s.type_name, s.help) for s in sampling]
        console.print()
        console.print(table(("sampling setting", "default", "type", "what it does, in ganzoo sample RUN --set"), rows))

    image_size = config.image_size or image_size
    spec = DataSpec(channels, image_size, classes if card.conditional else 0, channels if card.paired else 0)
    gan = build(entry, config, spec)
    networks = [(part, f"{_parameters(getattr(gan, part)):,}") for part in ("generator", "discriminator")]
    console.print()
    console.print(table(("network", f"parameters for {channels}x{image_size}x{image_size} images"), networks))


def _parameters(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
