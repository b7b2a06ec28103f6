"""Named alarms: known ways in which a GAN's training fails, seen in the lines of metrics.jsonl."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

Row = Mapping[str, Any]

WARM_UP = 20
"""Lines of metrics before any judgement: an untrained generator is as good as collapsed."""
WINDOW = 20
"""Lines for which a sign must hold without a break."""
SHORT = 10
"""Lines after which divergence is sure."""
LONG = 40
"""Lines in which oscillations are looked for."""
AHEAD = 0.98
"""D has won where it is so sure of reals, as a share of their label, and of fakes."""
ALIKE = 0.3
"""Samples of a smaller diversity are all the same."""
TWINS = 0.9
GREATEST_SCORE = 1000
GROWTH = 100
"""How many times as large as at first a gradient is that diverges."""
LEAST_GRADIENT = 0.1
"""What a gradient counts as that was smaller at first."""
SWINGS = 6
LEAST_SWING = 0.1
"""How far D must swing at least: around 1/2 it trembles, which is no harm."""
BEYOND_MEASURE = 1e4
"""A gradient of this norm is divergence, whatever it was at first."""
QUIET = 40
"""Lines without the sign after which the same alarm may be raised again."""


@dataclass(frozen=True)
class Alarm:
    """One failure: its name, the step it was seen at, what shows it, and what to try."""

    name: str
    step: int
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"step {self.step:,}, {self.name}: {self.evidence}. {self.remedy}"


@dataclass(frozen=True)
class Failure:
    """A way to fail: `sign` gives the evidence where the last lines show it; it is given them and those before."""

    name: str
    sign: Callable[[list[Row], list[Row]], str | None]
    remedy: str


class Watch:
    """Sees every line of a run's metrics, in order, and says what is going wrong.

    It knows nothing but the lines: shown those of metrics.jsonl, it is where it was when the training was killed.
    With a `penalty_half_life`, in images, the penalty on the discriminator's slopes falls, and gradients may grow with
    these.
    """

    def __init__(self, loss: str, real_label: float = 1.0, penalty_half_life: float = math.inf):
        self.failures = failures(loss, real_label, penalty_half_life)
        self.last: deque[Row] = deque(maxlen=LONG)
        self.first: list[Row] = []
        self.lines = 0
        self.seen: dict[str, int] = {}

    def see(self, row: Row) -> Alarm | None:
        """The alarm that this line raises, if any. Where several signs show, the first failure brings the others about:
        a generator that is taught nothing draws one picture, too."""
        self.lines += 1
        self.last.append(row)
        if self.lines <= WARM_UP:
            self.first.append(row)
            return None
        for failure in self.failures:
            evidence = failure.sign(list(self.last), self.first)
            if evidence is not None:
                before = self.seen.get(failure.name, -QUIET)
                self.seen[failure.name] = self.lines
                if self.lines - before >= QUIET:
                    return Alarm(failure.name, row["step"], evidence, failure.remedy)
                return None
        return None


def failures(loss: str, real_label: float, penalty_half_life: float) -> list[Failure]:
    """The failures that can be told from the signals of this loss."""
    from ganzoo.losses import LOSSES

    def won(last: list[Row], first: list[Row]) -> str | None:
        last, name = last[-WINDOW:], "generator_gradient"
        if not all(row["d_real"] > AHEAD * real_label and row["d_fake"] < 1 - AHEAD for row in last):
            return None
        return f"D(real) {last[-1]['d_real']:.3f} and D(fake) {last[-1]['d_fake']:.3f} for {_steps(last)} steps" + (
            f"; the generator's gradient is {_norms(last, first, name)}" if name in last[-1] else ""
        )

    probabilities = [Failure("discriminator won", won, WON)] if LOSSES[loss].probability else []  # type: ignore[index]
    return [
        *probabilities,
        Failure("divergence", partial(diverging, half_life=penalty_half_life), DIVERGING),
        Failure("mode collapse", collapsed, COLLAPSED),
        Failure("oscillation", oscillating, OSCILLATING),
    ]


def collapsed(last: list[Row], first: list[Row]) -> str | None:
    """Samples of different noise are the same, or nearly, and are not growing apart as they do when training begins."""
    last = last[-WINDOW:]
    some = len(last) // 4
    early, late = last[:some], last[-some:]
    growing_apart = _usual(late, "diversity") > 1.1 * _usual(early, "diversity")
    fewer_twins = _usual(late, "duplicates") < 0.9 * _usual(early, "duplicates")
    alike = all(row["diversity"] < ALIKE for row in last) and not growing_apart
    twins = all(row["duplicates"] > TWINS for row in last) and not fewer_twins
    if not (alike or twins):
        return None
    return (
        f"for {_steps(last)} steps samples have differed {last[-1]['diversity']:.2f} times as much as real data do, "
        f"and {last[-1]['duplicates']:.0%} had a twin"
    )


def diverging(last: list[Row], first: list[Row], half_life: float = math.inf) -> str | None:
    """Scores or gradients are beyond all measure, or far larger than they were, the fall of a penalty allowed for."""
    last = last[-SHORT:]
    freedom = 2.0 ** min(last[-1]["images"] / half_life, 100)
    if all(max(abs(row["d_real"]), abs(row["d_fake"])) > GREATEST_SCORE for row in last):
        return f"D scores real data {last[-1]['d_real']:.3g} and samples {last[-1]['d_fake']:.3g}"
    for network in ("generator", "discriminator"):
        name = f"{network}_gradient"  # not there with fp16, where gradients that overflow are usual
        if not all(name in row for row in last):
            continue
        bound = min(BEYOND_MEASURE, GROWTH * max(_usual(first, name), LEAST_GRADIENT) * freedom)
        if min(row[name] for row in last) > bound:
            return f"the {network}'s gradient is {_norms(last, first, name)}"
    return None


def oscillating(last: list[Row], first: list[Row]) -> str | None:
    """The game goes round in circles: one network is ahead, then the other, and neither settles."""
    margins = [abs(row["d_real"] - row["d_fake"]) for row in last]
    found = swings(margins)
    if len(last) < LONG or found < SWINGS:
        return None
    return (
        f"D(real) - D(fake) has swung {found} times in {_steps(last)} steps, "
        f"between {min(margins):.2g} and {max(margins):.2g}"
    )


def swings(values: list[float], factor: float = 2.0) -> int:
    """How often a series goes from `factor` times below its median to as much above it, or back; 0 if it trembles."""
    if max(values) - min(values) < LEAST_SWING:
        return 0
    middle = median(values)
    sides = [value > middle for value in values if value > factor * middle or value < middle / factor]
    return sum(before != after for before, after in zip(sides, sides[1:]))


WON = (
    "Make D's task harder or its slope bounded: --set penalty=r1, a lower discriminator_lr, or real_label=0.9; "
    "with loss=minimax take nonsaturating."
)
COLLAPSED = "Try --set penalty=r1 (or loss=wasserstein penalty=gradient), a larger batch_size, or a lower generator_lr."
DIVERGING = "Try lower learning rates (--set generator_lr=..., discriminator_lr=...), penalty=r1, or --precision fp32."
OSCILLATING = "Try --set beta1=0, lower learning rates, penalty=r1, or lr_half_life so that the rates fall."


def _usual(rows: list[Row], name: str) -> float:
    return float(median(row[name] for row in rows))


def _steps(rows: list[Row]) -> int:
    return int(rows[-1]["step"] - rows[0]["step"])


def _norms(last: list[Row], first: list[Row], name: str) -> str:
    return f"{_usual(last, name):.2g}, was {_usual(first, name):.2g} in the first {first[-1]['step']:,} steps"
