"""Write an installable package with the weights, the card and the figures of a run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from ganzoo.core import models, plugin_file, registry
from ganzoo.core.entry_points import MODELS
from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.files import sha256, write_text
from ganzoo.core.paths import user_path
from ganzoo.core.spec import INPUT, LABEL
from ganzoo.core.version import __version__
from ganzoo.data.normalization import encode
from ganzoo.evaluation import evaluate
from ganzoo.evaluation.results import read
from ganzoo.models.card import card, description
from ganzoo.training import checkpoint
from ganzoo.training.loading import load_checkpoint, newest_checkpoint
from ganzoo.training.repeat import command, portable_dataset, portable_run
from ganzoo.training.run import Run
from ganzoo.training.run_config import CONFIG

TEMPLATE = Path(__file__).parent / "template"
SUFFIX = ".in"
PACKAGE = "package"
"""The folder of the template that gets the name of the new package."""
FOLDER = "model"
CARD = "CARD.md"
OMITTED = ("data_dir", "platform", "git", "resumes", "logger", "started")
"""Entries of config.json that are about one machine or one sitting."""
TOLERANCES = {"images": 1.01 / 127.5, "points": 1e-3}
"""Half precision is used if no value of 64 samples in [-1, 1] moves by more than this; for images one level of 255."""


class _Packed(Run):
    """The folder of a model that is not yet where it will be: messages name the run that it is made from."""

    label = ""


def pack(
    run: Run | str | os.PathLike[str],
    name: str,
    directory: str | os.PathLike[str] | None = None,
    *,
    best: bool = False,
    metrics: Sequence[str] | None = None,
    samples: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write a package with `run` as the model `name` to `directory`, by default ./ganzoo-NAME, and return its path.

    The weights are safetensors, in half precision if that moves no pixel of 64 samples by more than one level. The
    packed model is then evaluated by `metrics` with `samples` samples (defaults as in `evaluate`), for its card.
    `best` packs the best checkpoint by `evaluate_every`; `data_dir` is where the data are.

    Raises UsageError if the name is not valid or taken, or the directory not empty; otherwise what `evaluate` raises.
    Writes everything or nothing.
    """
    progress = progress or (lambda _: None)
    run = run if isinstance(run, Run) else Run.open(run)
    _check(run, name)
    distribution = f"ganzoo-{name.replace('_', '-').replace('.', '-')}"
    target = Path(distribution) if directory is None else user_path(directory, "a directory")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists and is not an empty directory. Choose another --dir.")
    temporary = target.absolute().with_name(f".{target.name}-{os.getpid()}")
    package = distribution.replace("-", "_")
    try:
        options: dict[str, Any] = {"metrics": metrics, "data_dir": data_dir, "progress": progress}
        options |= {} if samples is None else {"samples": samples}
        text = write_model(run, name, temporary / package / FOLDER, best, options)
        owner = run.config["distribution"]
        needed = [f"ganzoo-core>={__version__}", *([owner] if owner != registry.OWN_DISTRIBUTION else [])]
        values = {
            "name": name,
            "distribution": distribution,
            "package": package,
            "description": description(_portable(run, name)).replace('"', "'").replace("\\", "/"),
            "dependencies": ", ".join(map(json.dumps, needed)),
            "card": text.replace("(samples.png)", f"({package}/{FOLDER}/samples.png)"),
        }
        for source in sorted(TEMPLATE.rglob(f"*{SUFFIX}")):
            parts = [package if part == PACKAGE else part for part in source.relative_to(TEMPLATE).parts]
            file = temporary.joinpath(*parts).with_name(source.name.removesuffix(SUFFIX))
            write_text(file, Template(source.read_text(encoding="utf-8")).substitute(values))
        if target.exists():
            target.rmdir()
        os.replace(temporary, target)
    except OSError as failure:
        raise GanzooError(f"Cannot write {target}: {failure.strerror or failure}") from failure
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def write_model(run: Run, name: str, folder: Path, best: bool, options: Mapping[str, Any]) -> str:
    """Write the model's folder, evaluate what is in it with these `options`, and return its card."""
    source = newest_checkpoint(run, best)
    step = int(source.name.removeprefix(checkpoint.PREFIX))
    folder.mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    half, moved = _half_precision_suffices(run, source)
    _write_weights(source, checkpoint.path_of(folder / "checkpoints", step), step, half)
    precision = f"half precision, which moves no value of 64 samples by more than {moved / 2:.1g} of the range"
    packed = _Packed(folder, {**run.config, "model": None})  # evaluated as a run: the results are to be in the folder
    packed.label = run.label
    evaluate(packed, **options)
    evaluation = read(packed)
    assert evaluation is not None, "it has just been evaluated"
    evaluation.run = name
    evaluation.write(packed)
    for lock in folder.glob(".*.lock"):
        lock.unlink()
    if rows := [row for row in run.metrics() if row["step"] <= step]:
        write_text(folder / "metrics.jsonl", json.dumps(rows[-1]) + "\n")
    if run.grid is not None:
        shutil.copyfile(run.grid, folder / "samples.png")
    portable = _portable(run, name)
    portable.config["command"] = shlex.split(command(portable.config, step))
    write_text(folder / CONFIG, json.dumps(portable.config, indent=2) + "\n")
    text = card(portable, evaluation, step, precision if half else "single precision")
    write_text(folder / CARD, text)
    return text


def _check(run: Run, name: str) -> None:
    if not models.NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid name: expected lower-case letters and digits, with - or _ or . between them."
        )
    if name in registry.names(MODELS):
        raise UsageError(f"A model called {name!r} is already installed. Choose another name.")
    if run.config["distribution"] == plugin_file.DISTRIBUTION:
        raise UsageError(
            f"{run.label} was trained with a file, {run.config['file']['path']}, which no package can require. Make a "
            "package of the architecture first (ganzoo new) and train with that."
        )


def _portable(run: Run, name: str) -> Run:
    """The run with what others need of its config.json, under the model's name."""
    config = {key: value for key, value in run.config.items() if key not in OMITTED}
    config["dataset"] = {**config["dataset"], "name": portable_dataset(config["dataset"]["name"])}
    if config.get("init_from") is not None:
        config["init_from"] = portable_run(config["init_from"])
        config["warm_start"] = {**config.get("warm_start", {}), "name": config["init_from"]}
    return Run(run.path, {**config, "model": name})


def _half_precision_suffices(run: Run, source: Path) -> tuple[bool, float]:
    """Whether half-precision weights draw the same samples up to one pixel level, and how far a value moves."""
    if set(run.spec.given) - {LABEL, INPUT}:
        return False, float("inf")
    drawn = []
    for half in (False, True):
        gan = load_checkpoint(run, source, "cpu")
        if half:
            gan.load_state_dict(_halved(gan.state_dict()))
        with torch.no_grad():
            inputs = torch.zeros(64, *run.spec.given[INPUT].shape, dtype=torch.uint8) if gan.paired else None
            values = gan.sample(64, seed=0, inputs=inputs)
        drawn.append(encode(values, run.spec))
    moved = float((drawn[0] - drawn[1]).abs().max())
    return moved <= TOLERANCES.get(run.spec.kind, 1e-3), moved


def _halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in half precision; vectors, such as running statistics, weigh little and stay."""
    return {
        name: tensor.half() if tensor.dtype == torch.float32 and tensor.dim() > 1 else tensor
        for name, tensor in tensors.items()
    }


def _write_weights(source: Path, target: Path, step: int, half: bool) -> None:
    target.mkdir()
    files = {}
    for name in sorted(checkpoint.WEIGHTS):
        tensors = load_file(source / name)
        (target / name).write_bytes(save(_halved(tensors) if half else tensors))
        files[name] = {"bytes": (target / name).stat().st_size, "sha256": sha256(target / name)}
    manifest = {"format": checkpoint.FORMAT, "step": step, "files": files}
    write_text(target / checkpoint.MANIFEST, json.dumps(manifest, indent=2) + "\n")
