"""What the latent-space part of the page asks for: pins, a place between them, and changes. Checked, then looked up."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganzoo.core.errors import UsageError

MAX_SEED = (1 << 63) - 1
MAX_AMOUNT = 10.0
PINS = 4
MAX_PINS = 64
MODES = ("pad", "arithmetic")


@dataclass(frozen=True)
class Pin:
    """A point of latent space: that of a seed, with a class if the GAN has labels, or a projected image by its name."""

    seed: int = 0
    label: int | None = None
    image: str | None = None


@dataclass(frozen=True)
class Move:
    """A step of `amount` standard deviations along direction number `index` of `method`."""

    method: str
    index: int
    amount: float


@dataclass(frozen=True)
class Recipe:
    """How to make one picture.

    mode: "pad" is the place (x, y) between the pins, from the first, at (0, 0), to the last; "arithmetic" is the first
        minus the second plus the third.
    classes: two classes and the share of the second; None leaves those of the pins.
    truncation: noise of the seeds beyond it is drawn again.
    """

    pins: tuple[Pin, ...]
    mode: str = "pad"
    x: float = 0.0
    y: float = 0.0
    classes: tuple[int, int, float] | None = None
    truncation: float | None = None
    moves: tuple[Move, ...] = ()

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Recipe:
        """The recipe in a request. Raises UsageError for one that the page does not send."""
        try:
            pins = tuple(_pin(pin) for pin in request["pins"])
            truncation, classes = request.get("truncation"), request.get("classes")
            recipe = cls(
                pins,
                str(request.get("mode", "pad")),
                _number(request.get("x", 0), 0, 1),
                _number(request.get("y", 0), 0, 1),
                None if classes is None else (_label(classes[0]), _label(classes[1]), _number(classes[2], 0, 1)),
                None if truncation is None else _number(truncation, 0.05, 10),
                tuple(
                    Move(str(method), _label(index), _number(amount, -MAX_AMOUNT, MAX_AMOUNT))
                    for method, index, amount in request.get("moves", [])
                ),
            )
        except (LookupError, TypeError, ValueError) as failure:
            raise UsageError(f"The page asks for something that does not exist: {failure}.") from None
        if len(pins) != PINS or recipe.mode not in MODES or len(recipe.moves) > 64:
            raise UsageError("The page asks for something that does not exist.")
        return recipe

    def walk_command(self, run: str, frames: int) -> str | None:
        """The command that makes the film through the pins; None if some are projected images."""
        if any(pin.image is not None for pin in self.pins):
            return None
        words = ["ganzoo", "walk", run, "--seeds", ",".join(str(pin.seed) for pin in self.pins)]
        for pin in self.pins:
            words += [] if pin.label is None else ["--label", str(pin.label)]
        words += [] if self.truncation is None else ["--truncation", f"{self.truncation:g}"]
        return shlex.join([*words, "--frames", str(frames), "--out", "walk.gif"])


def pins_of(request: Mapping[str, Any]) -> tuple[list[Pin], float | None]:
    """The pins of a wall of samples, and the truncation. Raises UsageError as `Recipe.of` does."""
    try:
        pins, truncation = [_pin(pin) for pin in request["pins"]], request.get("truncation")
        bound = None if truncation is None else _number(truncation, 0.05, 10)
    except (LookupError, TypeError, ValueError) as failure:
        raise UsageError(f"The page asks for something that does not exist: {failure}.") from None
    if not 1 <= len(pins) <= MAX_PINS:
        raise UsageError(f"A wall has 1 to {MAX_PINS} samples.")
    return pins, bound


def _pin(value: Any) -> Pin:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not a pin")
    if (image := value.get("image")) is not None:
        return Pin(image=str(image))
    label = value.get("label")
    return Pin(_whole(value["seed"], MAX_SEED), None if label is None else _label(label))


def _label(value: Any) -> int:
    return _whole(value, 1 << 20)


def _whole(value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{value!r} is not a whole number from 0 to {most:,}")
    return value


def _number(value: Any, least: float, most: float) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not least <= value <= most:
        raise ValueError(f"{value!r} is not a number from {least:g} to {most:g}")
    return float(value)
