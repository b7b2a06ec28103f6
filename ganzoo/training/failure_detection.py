"""Detects the known failures of GAN training from the rows of metrics.jsonl alone."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from ganzoo.losses import get_loss
from ganzoo.penalties import get_penalty

Row = Mapping[str, Any]

NEUTRAL = {"d_real": 0.5, "d_fake": 0.5}
"""Scores that show no failure, for a GAN that logs none."""
WARM_UP, WARM_UP_STEPS = 20, 200
"""Rows, and steps, before any alarm but those of acute failures: an untrained generator looks like a collapsed one."""
WINDOW = 20
"""Consecutive rows that must show a failure."""
SHORT_WINDOW = 10
"""Consecutive rows that must show divergence."""
LONG_WINDOW = 40
"""Rows in which oscillations are counted."""
REPEAT_AFTER = 40
"""Rows without the failure after which the same alarm may be raised again."""
CONFIDENT = 0.98
"""D has won if D(real), as a share of the label of real data, and 1 - D(fake) are above this."""
MIN_DIVERSITY = 0.3
"""Samples of smaller diversity are all alike."""
MAX_DUPLICATES = 0.9
MAX_SCORE = 1000
GRADIENT_GROWTH = 100
"""Gradient growth factor treated as divergence."""
MIN_INITIAL_GRADIENT = 0.1
"""Lower bound for the initial gradient norm."""
MAX_GRADIENT = 1e4
"""Gradient norm treated as divergence, whatever it was initially."""
MAX_LOSS = 1e6
"""Losses beyond this are divergence at once, even in the first row: no objective of a healthy training comes near."""
ACUTE_STEPS = 50
"""Steps that must show an acute failure. Its limits lie beyond what healthy training reaches in its first steps, so
that no warm-up is needed; docs/metrics.md has how close it comes (`benchmarks/alarms.py --first`)."""
ACUTE_FAKE = 0.002
"""D has won if D(fake) stays below this, while D(real) is as for `CONFIDENT`."""
ACUTE_DIVERSITY = 0.002
"""All samples are the same below this. `r3gan-cond` on MNIST came to 0.005, and learnt."""
ACUTE_SATURATED = {"hinge": 1e-3, "least_squares": 1e-3, "relativistic": 1e-4, "relativistic_average": 1e-4}
"""D has won if a loss that is 0 for a perfect D, and has no probabilities, stays below this.

A critic by the Wasserstein loss is meant to be as good as it can be, and its gradients do not vanish then.
"""
MIN_LABEL_EFFECT = 0.05
"""A class changes samples less than this share of what other noise does: the label is ignored."""
MIN_SWINGS = 6
MIN_SWING = 0.1
"""Smallest amplitude of D's swings that counts, in probabilities: small fluctuations around 1/2 are harmless."""
MIN_SCORE_SWING = 0.5
"""The same in scores, for losses without probabilities: the margin of the hinge loss is 1."""


@dataclass(frozen=True)
class Alarm:
    """One detected failure: its name, the step, the evidence, and settings to try."""

    name: str
    step: int
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"step {self.step:,}, {self.name}: {self.evidence}. {self.remedy}"


@dataclass(frozen=True)
class Failure:
    """A kind of failure. `evidence(last, first)` describes it if the `last` rows show it, given the `first` rows."""

    name: str
    evidence: Callable[[list[Row], list[Row]], str | None]
    remedy: str


class FailureDetector:
    """Raises alarms from the rows of a run's metrics, passed to `update` in order.

    Its state depends on the rows alone, so a resumed run restores it from metrics.jsonl. If a penalty on the
    discriminator's slopes decays, with a half-life of `penalty_half_life` images, gradients may grow accordingly.
    """

    def __init__(self, loss: str, real_label: float = 1.0, penalty_half_life: float = math.inf):
        self.failures = failures(loss, real_label, penalty_half_life)
        self.acute = acute_failures(loss, real_label)
        self.last: deque[Row] = deque(maxlen=LONG_WINDOW)
        self.first: list[Row] = []
        self.rows = 0
        self.last_seen: dict[str, int] = {}

    @classmethod
    def of(cls, config: Any) -> FailureDetector:
        """A detector for an architecture's settings."""
        decays = get_penalty(config.penalty) is not None and config.penalty_half_life > 0
        return cls(config.loss, config.real_label, float(config.penalty_half_life) if decays else math.inf)

    @property
    def present(self) -> list[str]:
        """The names of the failures that the last row shows."""
        return [name for name, row in self.last_seen.items() if row == self.rows]

    def update(self, row: Row) -> Alarm | None:
        """The alarm that this row raises, if any.

        Of several failures, only the first is reported, because it causes the others: a generator that gets no gradient
        also generates a single picture.
        """
        row = {**NEUTRAL, **row}
        self.rows += 1
        self.last.append(row)
        if evidence := explosion(row):
            return self._alarm("divergence", row, evidence, DIVERGENCE_REMEDY)
        acute = acute_rows(list(self.last))
        for failure in self.acute if acute else []:
            evidence = failure.evidence(acute, acute)
            if evidence is not None:
                return self._alarm(failure.name, row, evidence, failure.remedy)
        if self.rows <= WARM_UP or row["step"] < WARM_UP_STEPS:
            self.first.append(row)
            return None
        for failure in self.failures:
            evidence = failure.evidence(list(self.last), self.first)
            if evidence is not None:
                return self._alarm(failure.name, row, evidence, failure.remedy)
        return None

    def _alarm(self, name: str, row: Row, evidence: str, remedy: str) -> Alarm | None:
        """The alarm, unless the same one was raised recently."""
        last_seen = self.last_seen.get(name, -REPEAT_AFTER)
        self.last_seen[name] = self.rows
        return Alarm(name, row["step"], evidence, remedy) if self.rows - last_seen >= REPEAT_AFTER else None


def failures(loss: str, real_label: float, penalty_half_life: float) -> list[Failure]:
    """The failures that can be detected with this loss, causes before consequences."""
    probability = get_loss(loss).probability
    swing = MIN_SWING if probability else MIN_SCORE_SWING
    won = Failure("discriminator won", partial(discriminator_won, real_label=real_label), WON_REMEDY)
    return [
        *([won] if probability else []),
        Failure("divergence", partial(divergence, half_life=penalty_half_life), DIVERGENCE_REMEDY),
        Failure("mode collapse", mode_collapse, COLLAPSE_REMEDY),
        Failure("oscillation", partial(oscillation, min_swing=swing), OSCILLATION_REMEDY),
    ]


def acute_failures(loss: str, real_label: float) -> list[Failure]:
    """Failures so plain that they are detected in the first steps of training, causes before consequences."""
    probability = get_loss(loss).probability
    limit = ACUTE_SATURATED.get(loss)
    won = partial(acutely_won, real_label=real_label) if probability else partial(saturated, limit=limit or 0.0)
    return [
        Failure("no variety in the data", no_variety, VARIETY_REMEDY),
        *([Failure("discriminator won", won, WON_REMEDY)] if probability or limit else []),
        Failure("divergence", runaway, DIVERGENCE_REMEDY),
        Failure("mode collapse", one_sample_for_all, COLLAPSE_REMEDY),
        Failure("labels ignored", labels_ignored, LABELS_REMEDY),
    ]


def no_variety(last: list[Row], first: list[Row]) -> str | None:
    """All real examples that samples are compared with are the same, so their diversity has no measure."""
    if any("diversity" in row for row in last):
        return None
    return "samples cannot be compared with real examples, which are all the same, or there is only one"


def acutely_won(last: list[Row], first: list[Row], real_label: float) -> str | None:
    """D makes hardly an error any more."""
    if not all(row["d_fake"] < ACUTE_FAKE and row["d_real"] > CONFIDENT * real_label for row in last):
        return None
    return f"D(real) {last[-1]['d_real']:.4f} and D(fake) {last[-1]['d_fake']:.4f} for {_steps(last)} steps"


def saturated(last: list[Row], first: list[Row], limit: float) -> str | None:
    """D's loss is at the minimum that a perfect D has, so that it tells the generator nothing."""
    name = "discriminator_loss"
    if not all(abs(row.get(name, math.inf)) < limit for row in last):
        return None
    return f"D's loss is {last[-1][name]:.2g}, which is perfect, and has been for {_steps(last)} steps"


def runaway(last: list[Row], first: list[Row]) -> str | None:
    """Scores are huge."""
    if not all(max(abs(row["d_real"]), abs(row["d_fake"])) > MAX_SCORE for row in last):
        return None
    return f"D scores real data {last[-1]['d_real']:.3g} and samples {last[-1]['d_fake']:.3g}"


def one_sample_for_all(last: list[Row], first: list[Row]) -> str | None:
    """Samples for different noise are the same, and are not becoming more diverse."""
    values = [row.get("diversity", math.inf) for row in last]
    growing = values[-1] > max(1.1 * values[0], ACUTE_DIVERSITY / 10)
    if max(values) >= ACUTE_DIVERSITY or growing:
        return None
    return (
        f"for {_steps(last)} steps samples for different noise have been the same: they differ "
        f"{values[-1]:.2g} times as much as real data do"
    )


def labels_ignored(last: list[Row], first: list[Row]) -> str | None:
    """Samples of the same noise are the same for every class."""
    values = [row.get("label_effect", math.inf) for row in last]
    if max(values) >= MIN_LABEL_EFFECT:
        return None
    return (
        f"for {_steps(last)} steps the class has hardly changed samples of the same noise: {values[-1]:.2g} times as "
        "much as other noise does"
    )


def acute_rows(rows: list[Row]) -> list[Row]:
    """The last rows, as many as cover ACUTE_STEPS steps; none if there are not enough yet."""
    for start in range(len(rows) - 2, -1, -1):
        if rows[-1]["step"] - rows[start]["step"] >= ACUTE_STEPS or len(rows) - start == LONG_WINDOW:
            return rows[start:]
    return []


def explosion(row: Row) -> str | None:
    """A loss is so large that training cannot recover."""
    for network in ("discriminator", "generator"):
        loss = row.get(f"{network}_loss", 0.0)
        if abs(loss) > MAX_LOSS:
            return f"the {network}'s loss is {loss:.3g}"
    return None


def discriminator_won(last: list[Row], first: list[Row], real_label: float) -> str | None:
    """D is certain of real and of fake data, so that the generator gets no useful gradient."""
    last, name = last[-WINDOW:], "generator_gradient"
    if not all(row["d_real"] > CONFIDENT * real_label and row["d_fake"] < 1 - CONFIDENT for row in last):
        return None
    return f"D(real) {last[-1]['d_real']:.3f} and D(fake) {last[-1]['d_fake']:.3f} for {_steps(last)} steps" + (
        f"; the generator's gradient is {_norms(last, first, name)}" if name in last[-1] else ""
    )


def mode_collapse(last: list[Row], first: list[Row]) -> str | None:
    """Samples for different noise are nearly the same and, unlike early in training, not becoming more diverse."""
    last = last[-WINDOW:]
    quarter = len(last) // 4
    early, late = last[:quarter], last[-quarter:]
    fewer_duplicates = _median(late, "duplicates") < 0.9 * _median(early, "duplicates")
    if not all("diversity" in row for row in last):
        return None
    diversifying = _median(late, "diversity") > 1.1 * _median(early, "diversity")
    alike = all(row["diversity"] < MIN_DIVERSITY for row in last) and not diversifying
    duplicates = all(row["duplicates"] > MAX_DUPLICATES for row in last) and not fewer_duplicates
    if not (alike or duplicates):
        return None
    return (
        f"for {_steps(last)} steps samples have differed {last[-1]['diversity']:.2f} times as much as real data do, "
        f"and {last[-1]['duplicates']:.0%} were duplicates"
    )


def divergence(last: list[Row], first: list[Row], half_life: float = math.inf) -> str | None:
    """Scores or gradients are huge, or gradients have grown far more than a decaying penalty allows for."""
    last = last[-SHORT_WINDOW:]
    allowance = 2.0 ** min(last[-1]["images"] / half_life, 100)
    if all(max(abs(row["d_real"]), abs(row["d_fake"])) > MAX_SCORE for row in last):
        return f"D scores real data {last[-1]['d_real']:.3g} and samples {last[-1]['d_fake']:.3g}"
    for network in ("generator", "discriminator"):
        name = f"{network}_gradient"  # absent with fp16, where overflowing gradients are normal
        if not all(name in row for row in last):
            continue
        initial = max(_median(first, name), MIN_INITIAL_GRADIENT)
        if min(row[name] for row in last) > min(MAX_GRADIENT, GRADIENT_GROWTH * initial * allowance):
            return f"the {network}'s gradient is {_norms(last, first, name)}"
    return None


def oscillation(last: list[Row], first: list[Row], min_swing: float = MIN_SWING) -> str | None:
    """The two networks keep taking the lead from each other."""
    margins = [abs(row["d_real"] - row["d_fake"]) for row in last]
    count = swings(margins, min_swing)
    if len(last) < LONG_WINDOW or count < MIN_SWINGS:
        return None
    return (
        f"D(real) - D(fake) has swung {count} times in {_steps(last)} steps, "
        f"between {min(margins):.2g} and {max(margins):.2g}"
    )


def swings(values: list[float], min_swing: float = MIN_SWING, factor: float = 2.0) -> int:
    """Number of times a series crosses from `factor` times below its median to `factor` times above, or back.

    0 if it stays within `min_swing`.
    """
    if max(values) - min(values) < min_swing:
        return 0
    middle = median(values)
    sides = [value > middle for value in values if value > factor * middle or value < middle / factor]
    return sum(one != other for one, other in zip(sides, sides[1:]))


WON_REMEDY = (
    "Try --set penalty=r1, a lower discriminator_lr, or --set real_label=0.9. "
    "If you use loss=minimax, switch to nonsaturating."
)
COLLAPSE_REMEDY = (
    "Try --set penalty=r1 (or loss=wasserstein penalty=gradient), a larger batch_size, or a lower generator_lr."
)
DIVERGENCE_REMEDY = (
    "Try lower learning rates (--set generator_lr=..., discriminator_lr=...), penalty=r1, or --precision fp32."
)
VARIETY_REMEDY = "Check the data set: a GAN learns the differences between examples."
LABELS_REMEDY = (
    "Try an architecture whose discriminator judges the class, such as acgan, or another --set generator_lr=... and "
    "discriminator_lr=...; check that the classes look different."
)
OSCILLATION_REMEDY = "Try --set beta1=0, lower learning rates, penalty=r1, or lr_half_life to let the rates decay."


def _median(rows: list[Row], name: str) -> float:
    return float(median(row[name] for row in rows))


def _steps(rows: list[Row]) -> int:
    return int(rows[-1]["step"] - rows[0]["step"])


def _norms(last: list[Row], first: list[Row], name: str) -> str:
    return f"{_median(last, name):.2g}, was {_median(first, name):.2g} in the first {first[-1]['step']:,} steps"
