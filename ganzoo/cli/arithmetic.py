"""`ganzoo arithmetic RUN A - B + C`: vector arithmetic on samples."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ganzoo.cli.trained import (
    Trained,
    again,
    check_target,
    label_option,
    out_options,
    parse_seeds,
    pictures,
    require_images,
    trained_options,
)
from ganzoo.core.errors import UsageError

NEIGHBOURS = 9


@click.command(context_settings={"ignore_unknown_options": True})
@trained_options
@click.argument("expression", nargs=-1, required=True, metavar="A - B + C")
@label_option
@out_options("arithmetic.png", "FILE.png.")
def arithmetic(
    name: str, expression: tuple[str, ...], labels: tuple[str, ...], out: str, overwrite: bool, best: bool,
    device: str | None,
) -> None:  # fmt: skip
    """Add and subtract samples in latent space.

    A, B and C are seeds such as 1,7,9, those of `ganzoo sample RUN --count 1 --seed 1`; of each list the mean is taken.
    There may be more terms. With --label, the first label is that of A, the second that of B, and so on.

    The picture has a row for each term: its samples, then their mean. Below is the result, followed by neighbours of
    it, as in figure 7 of Radford et al. 2016.

    \b
    ganzoo arithmetic runs/dcgan-mnist-001 1,4,9 - 2,8,3 + 5,6,7
    """
    import torch

    from ganzoo import latents
    from ganzoo.cli.console import Console
    from ganzoo.data import imaging

    target = check_target(out, overwrite, (".png",))
    terms = _parsed(expression)
    trained = Trained.open(name, best, device)
    require_images(trained, "Arithmetic")
    classes = trained.labels(labels, len(terms))
    points = [
        latents.of_seeds(trained.gan, seeds, None if classes is None else [classes[i]] * len(seeds))
        for i, (_, seeds) in enumerate(terms)
    ]
    result = latents.combine([(sign, part) for (sign, _), part in zip(terms, points)])
    columns = max(NEIGHBOURS, *(len(seeds) + 1 for _, seeds in terms))
    rows = []
    for part in [*points, None]:
        shown = (
            latents.neighbours(result, NEIGHBOURS)
            if part is None
            else latents.Latents.concatenated([part, latents.mean(part)])
        )
        images = torch.stack(pictures(trained, latents.render(trained.gan, shown)))
        rows.append(torch.cat([images, images.new_zeros(columns - len(images), *images.shape[1:])]))
    words = _words(terms)
    imaging.save(
        imaging.grid(torch.cat(rows), columns),
        target,
        trained.text(expression=" ".join(words), labels=",".join(labels)),
    )
    console = Console(highlight=False)
    console.print_line(
        f"{' '.join(words)} written to {target}: a row for each term, then the result and its neighbours"
    )
    console.print_line(again("arithmetic", name, *words, labels=labels, best=best, out=out))


def _parsed(expression: Sequence[str]) -> list[tuple[int, list[int]]]:
    """Signs and seeds of the terms of "A - B + C", in one word or several."""
    text = " ".join(expression).replace("+", " + ").replace(" -", " - ").split()
    if len(text) % 2 == 0 or any(sign not in "+-" for sign in text[1::2]):
        raise UsageError(f"{' '.join(expression)!r} is not a sum: expected seeds as in 1,4,9 - 2,8,3 + 5,6,7.")
    try:
        seeds = [parse_seeds(part) for part in text[::2]]
    except ValueError as error:
        raise UsageError(str(error)) from None
    return [(-1 if sign == "-" else 1, part) for sign, part in zip(["+", *text[1::2]], seeds)]


def _words(terms: Sequence[tuple[int, list[int]]]) -> list[str]:
    words = [word for sign, seeds in terms for word in ("-" if sign < 0 else "+", ",".join(map(str, seeds)))]
    return words[1:]
