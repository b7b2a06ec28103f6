"""The training options, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from ganzoo.core.config import setting, settings
from ganzoo.core.entry_points import LOGGERS
from ganzoo.core.errors import UsageError
from ganzoo.core.plugin import names_in

if TYPE_CHECKING:
    import torch

DEVICES = ("cpu", "cuda", "mps")
LENGTHS = ("steps", "epochs", "minutes")
SCHEDULE = "Schedule"
"""The section whose options config.json holds in its table "schedule"; all others are at its top level."""

LoggerName = Annotated[str, names_in(LOGGERS)]
"""A logger of any installed package."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The training options, except the settings of the architecture.

    The command line, `ganzoo.train`, TOML files, config.json, the comparison on resume, `--dry-run` and the help texts
    are derived from these fields.
    """

    architecture: str | None = None
    dataset: str | None = setting(
        None, "a name from `ganzoo datasets`, such as folder:PATH", section="Data", metavar="NAME"
    )
    data_dir: str | None = setting(
        None, "where data files already are (or GANZOO_DATA)", section="Data", metavar="DIR", resumable=True
    )
    init_from: str | None = setting(
        None, "begin with the weights of a RUN or model, where they fit", section="Model", metavar="RUN"
    )
    freeze: str | None = setting(
        None, "keep its first N layers fixed: discriminator:2", section="Model", metavar="NETWORK:N"
    )
    steps: int | None = setting(None, "train for this many generator steps,", ge=1, section=SCHEDULE, resumable=True)
    epochs: float | None = setting(None, "or passes over the data,", gt=0, section=SCHEDULE, resumable=True)
    minutes: float | None = setting(None, "or minutes", gt=0, section=SCHEDULE, resumable=True)
    log_every: int = setting(50, "steps between rows of metrics", ge=1, section=SCHEDULE, metavar="N", resumable=True)
    checkpoint_every: int = setting(
        1000, "steps between checkpoints", ge=1, section=SCHEDULE, metavar="N", resumable=True
    )
    sample_every: int = setting(500, "steps between sample grids", ge=1, section=SCHEDULE, metavar="N", resumable=True)
    evaluate_every: int | None = setting(
        None, "steps between evaluations, which keep the best step", ge=1, section=SCHEDULE, metavar="N",
        resumable=True,
    )  # fmt: skip
    verify_every: int | None = setting(
        None, "compute every N-th step twice, to find faulty hardware", ge=1, section=SCHEDULE,
        metavar="N", resumable=True,
    )  # fmt: skip
    best_by: str | None = setting(
        None, "metric that selects the best; default the first that applies "
        "of psnr, frechet, optimal_discriminator, swd", section=SCHEDULE, metavar="METRIC", resumable=True,
    )  # fmt: skip
    seed: int = setting(0, "random seed", ge=0, le=(1 << 32) - 1, section="Compute")
    device: str = setting(
        "auto", "auto: first GPU, else CPU", section="Compute", metavar="auto|cpu|cuda|cuda:N",
        resumable=True,
    )  # fmt: skip
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = setting("fp32", "number format", section="Compute")
    cuda_graph: bool | None = setting(
        None, "replay each GPU step from a captured graph; default if possible", section="Compute",
        resumable=True,
    )  # fmt: skip

    logger: tuple[LoggerName, ...] = setting(
        (), "another logger (`ganzoo list --all`); can be repeated", section="Run",
        metavar="NAME", resumable=True,
    )  # fmt: skip

    def check(self) -> None:
        """Refuse options that contradict each other; called by `ganzoo.core.config.make`."""
        if sum(getattr(self, name) is not None for name in LENGTHS) > 1:
            raise UsageError("Give one of steps, epochs and minutes.")
        if self.best_by is not None and self.evaluate_every is None:
            raise UsageError(f"best_by={self.best_by} needs evaluate_every: how often to measure it.")
        if frozen_counts(self.freeze) and self.init_from is None:
            raise UsageError(f"freeze={self.freeze} needs init_from: layers that were never trained are of no use.")

    def finished(self, step: int, seconds: float) -> bool:
        """Whether training is complete after `step` steps and `seconds` seconds."""
        if self.steps is not None and step >= self.steps:
            return True
        return self.minutes is not None and seconds >= 60 * self.minutes


OPTIONS = {option.name: option for option in settings(TrainConfig)}
STORED = [name for name in OPTIONS if name not in ("architecture", "dataset")]
"""The options that config.json holds under their own names; architecture and data set have several entries there."""


def frozen_counts(text: str | None) -> dict[str, int]:
    """How many layers of which networks the option `freeze` names: `discriminator:2`, several separated by commas."""
    counts: dict[str, int] = {}
    for part in (text or "").split(",") if text is not None else ():
        network, colon, count = part.strip().partition(":")
        if not (network and colon and count.isdecimal() and count.isascii() and len(count) < 10):
            raise UsageError(f"freeze={text} is not valid: expected NETWORK:N, such as discriminator:2.")
        counts[network] = int(count)
    return counts


def find_device(name: str | torch.device | None) -> torch.device:
    """The torch device called `name`; "auto" or None is the first GPU, else the CPU. UsageError if it is not there."""
    import torch

    if name in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = str(name)
    try:
        if name.partition(":")[0] in DEVICES:
            device = torch.device(name)
            torch.empty(1, device=device)
            return device
        reason = f"ganzoo trains on {', '.join(DEVICES)}"
    except (RuntimeError, AssertionError, NotImplementedError) as failure:
        reason = str(failure).splitlines()[0].partition(". ")[0].rstrip(".")
    raise UsageError(f"Device {name!r} cannot be used here: {reason}. Choose auto or cpu.")
