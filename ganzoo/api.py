"""ganzoo from Python. The command line is a layer over this."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ganzoo.core import config as configs
from ganzoo.core import registry
from ganzoo.core.errors import UsageError
from ganzoo.core.plugin import find_recipe
from ganzoo.training.config import OPTIONS

if TYPE_CHECKING:
    from ganzoo.training.callbacks import Callback
    from ganzoo.training.run import Run
    from ganzoo.training.session import Session


def architectures() -> list[str]:
    """The names of the working architectures."""
    return [entry.name for entry in registry.architectures() if entry.error is None]


def datasets() -> list[str]:
    """The names of the data sets that can be used."""
    return [entry.name for entry in registry.datasets() if entry.error is None]


def train(
    architecture: str | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    autoresume: bool = False,
    callbacks: Iterable[Callback] | None = None,
    settings: Mapping[str, Any] | None = None,
    recipe: str | None = None,
    **options: Any,
) -> Run:
    """Train a GAN and return its run.

    Args:
        architecture: a name from `architectures()`, or `FILE.py:CLASS`, which runs that file.
        out: run directory, new or empty, or a URL such as `s3://bucket/run`; default `runs/ARCHITECTURE-DATASET-001`
            and so on.
        resume: directory or URL of a run to continue exactly from its last checkpoint; all else comes from the run.
        autoresume: continue the run in `out` if there is one, else start it there.
        callbacks: see `ganzoo.training.callbacks`; default one that logs alarms and notes as warnings.
        settings: settings of the architecture; or give them as keywords, such as `batch_size=64`, `loss="hinge"`.
        recipe: settings that the architecture's card has under this name; those given otherwise take precedence.
        {options}

    Raises `ganzoo.errors.GanzooError` (UsageError, PluginError, DataError, TrainingError, CheckpointError). Ctrl-C
    writes a checkpoint before KeyboardInterrupt is raised, SIGTERM and SIGHUP before SystemExit(128 + signal). SIGUSR1
    writes one, and training goes on.

    Training draws from torch's default generator. It trains the same beside threads of ganzoo (those that sample or
    evaluate; other trainings are refused), but not beside a thread that draws from that generator itself.
    """
    from ganzoo.core import distributed
    from ganzoo.training.callbacks import WarningLog, checked_callbacks

    chosen = None if callbacks is None else checked_callbacks(callbacks)
    with distributed.process_group():
        session = prepare(
            architecture, out=out, resume=resume, autoresume=autoresume, settings=settings, recipe=recipe, **options
        )
        extra: list[Callback] = [WarningLog()] if chosen is None else chosen
        if session.config.evaluate_every is not None:
            from ganzoo.evaluation import BestCheckpoint

            extra.append(BestCheckpoint(session.config.evaluate_every, session.config.best_by))
        return session.train(extra)


def prepare(
    architecture: str | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    autoresume: bool = False,
    settings: Mapping[str, Any] | None = None,
    recipe: str | None = None,
    **options: Any,
) -> Session:
    """The session that `train` would run with these arguments, with everything checked and nothing written."""
    from ganzoo.training.session import Session

    if autoresume:
        resume, out = _continued(resume, out)
    if resume is not None and out is not None:
        raise UsageError("A resumed run stays in its directory: give --resume or --out, not both.")
    options |= {"architecture": architecture}
    chosen = {name: value for name, value in options.items() if name in OPTIONS and value is not None}
    if not isinstance(settings or {}, Mapping) or not all(isinstance(name, str) for name in settings or {}):
        raise UsageError("settings must be a dictionary, such as {'batch_size': 64}.")
    settings = {name: value for name, value in options.items() if name not in OPTIONS} | dict(settings or {})
    if recipe is not None and not (autoresume and resume is not None):  # the run has the settings
        if architecture is None:
            raise UsageError("A run keeps the settings it began with: --recipe is for a new one, with an architecture.")
        entry = registry.find_architecture(architecture)
        settings = {**find_recipe(entry.card, entry.name, recipe).settings, **settings}
    if "best_by" in chosen:
        from ganzoo.evaluation.metrics import get_metrics

        get_metrics(chosen["best_by"])  # refuses unknown names
    return Session.new(chosen, settings, out) if resume is None else Session.resume(resume, chosen, settings)


def _continued(
    resume: str | os.PathLike[str] | None, out: str | os.PathLike[str] | None
) -> tuple[str | os.PathLike[str] | None, str | os.PathLike[str] | None]:
    """The `resume` and `out` of a training that is to be continued if there is a run in `out`."""
    from ganzoo.core import distributed
    from ganzoo.training.run import Run

    if out is None or resume is not None:
        raise UsageError("--autoresume continues the run in --out, or starts it there: give --out, and no --resume.")
    exists = distributed.on_rank0(lambda: Run.exists(out))  # another rank may look after rank 0 has made it
    return (out, None) if exists else (None, out)


def _document(function: Any) -> None:
    """Complete the docstring and the signature of `train` with the training options."""
    documented = {name: option for name, option in OPTIONS.items() if option.help}
    lines = [f"{name}: {configs.describe(option)}" for name, option in documented.items()]
    function.__doc__ = (function.__doc__ or "").format(options="\n        ".join(lines))
    *named, rest = inspect.signature(function).parameters.values()
    keywords = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in documented]
    function.__signature__ = inspect.Signature([*named, *keywords, rest])


_document(train)
