"""Report how close runs came to each alarm: `python benchmarks/alarms.py RUN...` prints one row per run.

`--first` looks at the first 200 steps of runs trained with `--log-every 10`, and at the alarms that need no warm-up.

Every value is the worst of any window of rows that an alarm considers, in the alarm's own measure: the alarm is raised
if the value passes the limit in the heading. The limit of the gradient applies to penalties that do not decay.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from ganzoo.training.failure_detection import (
    ACUTE_DIVERSITY,
    ACUTE_FAKE,
    ACUTE_SATURATED,
    CONFIDENT,
    GRADIENT_GROWTH,
    LONG_WINDOW,
    MAX_DUPLICATES,
    MAX_LOSS,
    MAX_SCORE,
    MIN_DIVERSITY,
    MIN_INITIAL_GRADIENT,
    MIN_LABEL_EFFECT,
    MIN_SWINGS,
    SHORT_WINDOW,
    WARM_UP,
    WARM_UP_STEPS,
    WINDOW,
    acute_rows,
    swings,
)
from ganzoo.training.run import Run

Row = dict[str, Any]
HEADINGS = (
    *("run", f"D won by > {CONFIDENT}", f"diversity < {MIN_DIVERSITY}", f"duplicates > {MAX_DUPLICATES}"),
    *(f"gradient > {GRADIENT_GROWTH}", f"score > {MAX_SCORE}", f"swings >= {MIN_SWINGS}", "alarms"),
)
LIMITS = sorted(set(ACUTE_SATURATED.values()))
FIRST_HEADINGS = (
    *(
        "run",
        f"D(fake) < {ACUTE_FAKE}",
        f"D's loss < {' or '.join(map(str, LIMITS))}",
        f"diversity < {ACUTE_DIVERSITY}",
    ),
    *(f"label effect < {MIN_LABEL_EFFECT}", f"score > {MAX_SCORE}", f"loss > {MAX_LOSS:g}", "alarms"),
)


def windows(rows: list[Row], length: int) -> Iterator[list[Row]]:
    """Every window of `length` consecutive rows that ends after the warm-up."""
    ends = range(max(length, WARM_UP + 1), len(rows) + 1)
    return (rows[end - length : end] for end in ends if rows[end - 1]["step"] >= WARM_UP_STEPS)


def nearness(run: Run) -> list[str]:
    rows, config = run.metrics(), run.config["settings"]
    if len(rows) <= WARM_UP or rows[-1]["step"] < WARM_UP_STEPS:
        return [run.path.name, f"no alarms before {WARM_UP} rows and {WARM_UP_STEPS} steps"]
    won = "no probabilities"
    if "equilibrium_distance" in rows[0]:
        worst = max(
            min(min(row["d_real"] / config["real_label"], 1 - row["d_fake"]) for row in window)
            for window in windows(rows, WINDOW)
        )
        won = f"{worst:.3f}"
    diversity = min(max(row["diversity"] for row in window) for window in windows(rows, WINDOW))
    duplicates = max(min(row["duplicates"] for row in window) for window in windows(rows, WINDOW))
    gradient = max(_growth(rows, name) for name in ("generator_gradient", "discriminator_gradient"))
    score = max(
        min(max(abs(row["d_real"]), abs(row["d_fake"])) for row in window) for window in windows(rows, SHORT_WINDOW)
    )
    margins = ([abs(row["d_real"] - row["d_fake"]) for row in window] for window in windows(rows, LONG_WINDOW))
    swing_count = max(map(swings, margins), default=0)
    alarms = ", ".join(f"{alarm.name} at {alarm.step:,}" for alarm in run.alarms()) or "none"
    return [
        run.path.name,
        won,
        f"{diversity:.2f}",
        f"{duplicates:.2f}",
        f"{gradient:.1f}",
        f"{score:.1f}",
        str(swing_count),
        alarms,
    ]


def _growth(rows: list[Row], name: str) -> float:
    first = median(row[name] for row in rows[:WARM_UP])
    return max(min(row[name] for row in window) for window in windows(rows, SHORT_WINDOW)) / max(
        first, MIN_INITIAL_GRADIENT
    )


def first_nearness(run: Run) -> list[str]:
    """For each alarm without a warm-up, the worst value of its measure in the first WARM_UP_STEPS steps."""
    rows = [row for row in run.metrics() if row["step"] <= WARM_UP_STEPS]
    acute = [window for end in range(2, len(rows) + 1) if (window := acute_rows(rows[:end]))]
    alarms = ", ".join(f"{alarm.name} at {alarm.step:,}" for alarm in run.alarms()) or "none"

    def worst(name: str) -> str:
        """The lowest of the windows' highest values."""
        values = [max(abs(row[name]) for row in window) for window in acute if all(name in row for row in window)]
        return f"{min(values):.2g}" if values else ""

    probabilities = "equilibrium_distance" in rows[0]
    score = max(min(max(abs(row["d_real"]), abs(row["d_fake"])) for row in window) for window in acute)
    loss = max(abs(row[name]) for row in rows for name in ("discriminator_loss", "generator_loss"))
    return [
        run.path.name, worst("d_fake") if probabilities else "", "" if probabilities else worst("discriminator_loss"),
        worst("diversity"), worst("label_effect"), f"{score:.1f}", f"{loss:.2g}", alarms,
    ]  # fmt: skip


if __name__ == "__main__":
    first = "--first" in sys.argv
    table = Table(*(FIRST_HEADINGS if first else HEADINGS))
    for path in sys.argv[1 + first :]:
        table.add_row(*(first_nearness if first else nearness)(Run.open(path)))
    Console(width=160).print(table)
