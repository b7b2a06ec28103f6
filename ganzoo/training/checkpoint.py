"""Checkpoints that are valid or absent, and never run code when they are read.

A checkpoint is a directory `step-00001000` with

    model.safetensors    the GAN's parameters and buffers
    ema.safetensors      the moving averages of the generator and, as NETWORK/NAME, of further networks
    state.pt             optimizers, random states, counters; read with torch.load(weights_only=True). Models lack it
    manifest.json        format number, size and sha256 of each file; written last

It is written under a temporary name, flushed to disk and renamed, so a crash leaves older checkpoints intact.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganzoo.core.errors import CheckpointError
from ganzoo.core.files import check_regular, flush, read_json, sha256
from ganzoo.training.archive import check_archive, check_state
from ganzoo.training.ema import AveragedNetworks

MANIFEST = "manifest.json"
FORMAT = 1
"""The format of checkpoints. Those without a number were written by 0.1.0 and are of format 1."""
WEIGHTS = {"model.safetensors", "ema.safetensors"}
STATE = "state.pt"
PREFIX = "step-"
TEMPORARY = ".writing-"


def save(directory: Path, step: int, model: dict[str, Tensor], ema: dict[str, Tensor], state: dict[str, Any]) -> Path:
    """Write the checkpoint of `step` into `directory` and return its path. All or nothing."""
    target = path_of(directory, step)
    temporary = directory / f"{TEMPORARY}{step:08d}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        directory.mkdir(exist_ok=True)  # but not its parents: a run directory that was removed must not reappear
        temporary.mkdir()
        write_weights(temporary / "model.safetensors", _plain(model))
        write_weights(temporary / "ema.safetensors", _plain(ema))
        torch.save(state, temporary / "state.pt")
        files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in temporary.iterdir()}
        (temporary / MANIFEST).write_text(json.dumps({"format": FORMAT, "step": step, "files": files}, indent=2) + "\n")
        for path in (*temporary.iterdir(), temporary):
            flush(path)
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
        flush(directory)
    except (
        OSError,
        SafetensorError,
        RuntimeError,
    ) as failure:  # RuntimeError is what torch makes of a full disk
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(f"Cannot write the checkpoint of step {step} to {directory}: {failure}") from failure
    return target


def write_weights(path: Path, tensors: dict[str, Tensor], facts: dict[str, str] | None = None) -> None:
    """Write tensors and `facts` about them to a safetensors file, with the permissions of any new file."""
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    save_file(tensors, path, facts)
    path.chmod(mode)  # safetensors makes files that only their owner can read


def path_of(directory: Path, step: int) -> Path:
    """The path of the checkpoint of `step`."""
    return directory / f"{PREFIX}{step:08d}"


def step_of(path: Path) -> int:
    """The step of the checkpoint at `path`, by its name."""
    return int(path.name.removeprefix(PREFIX))


def prune(directory: Path, keep: int) -> None:
    """Delete all but the `keep` newest checkpoints, and unfinished ones of processes that were killed."""
    for stale in directory.glob(f"{TEMPORARY}*"):
        shutil.rmtree(stale, ignore_errors=True)
    for old in checkpoints(directory)[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoints in `directory`, newest first, valid or not."""
    paths = [p for p in directory.glob(f"{PREFIX}*") if re.fullmatch("[0-9]{8,15}", p.name.removeprefix(PREFIX))]
    return sorted((p for p in paths if p.is_dir()), key=lambda p: int(p.name.removeprefix(PREFIX)), reverse=True)


def newest_valid(directory: Path) -> tuple[Path, list[str]]:
    """The newest checkpoint that passes `verify`, and the problems of newer ones. CheckpointError if there is none."""
    problems: list[str] = []
    for path in checkpoints(directory):
        problem = verify(path)
        if problem is None:
            return path, problems
        problems.append(problem)
    if problems:
        raise CheckpointError(f"No checkpoint in {directory} is intact:\n" + "\n".join(problems))
    raise CheckpointError(f"There is no checkpoint in {directory}: training stopped before the first was written.")


def verify(path: Path) -> str | None:
    """The problem with the checkpoint at `path`, or None if every file matches the manifest."""
    try:
        manifest = read_json(path / MANIFEST)
        if not {"step", "files"} <= set(manifest) <= {"format", "step", "files"}:
            return f"{path.name}/{MANIFEST} is damaged"
        if manifest.get("format", FORMAT) != FORMAT:
            return f"{path.name} is of format {manifest['format']}, which this version of ganzoo cannot read"
        files = manifest["files"]
        if path_of(path.parent, manifest["step"]) != path:
            return f"{path.name}: its manifest is that of step {manifest['step']}"
        if set(files) - {STATE} != WEIGHTS:
            return f"{path.name}: its manifest does not list the files of a checkpoint"
        for name, expected in files.items():
            size, digest = expected["bytes"], expected["sha256"]
            if not (isinstance(size, int) and re.fullmatch("[0-9a-f]{64}", digest)):
                return f"{path.name}/{MANIFEST} is damaged"
            found = sha256(path / name)
            if found != digest or (path / name).stat().st_size != size:
                return f"{path.name}/{name} is damaged: sha256 {found}, expected {digest}"
    except OSError as failure:
        return f"{path.name}: {failure.strerror}: {failure.filename}"
    except (ValueError, KeyError, TypeError, OverflowError):
        return f"{path.name}/{MANIFEST} is damaged"
    return None


def read_state(path: Path) -> dict[str, Any]:
    """The contents of state.pt. Only tensors and plain values are accepted; code is refused.

    What the training state is restored from is checked by `TrainingState.restore`.
    """
    file = path / "state.pt"
    try:
        check_archive(file)
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        check_state(state)
    except Exception as failure:  # torch raises many kinds of errors for damaged or unsafe files
        raise CheckpointError(f"{file} cannot be read safely: {failure}") from failure
    return state


def read_weights(path: Path, name: str, network: nn.Module | AveragedNetworks) -> None:
    """Load `path`/`name`.safetensors into `network`; every tensor must be present and of the right shape."""
    file = path / f"{name}.safetensors"
    try:
        check_regular(file)
        tensors = load_file(file)
        network.load_state_dict(tensors)
    except (OSError, SafetensorError) as failure:
        raise CheckpointError(f"{file} cannot be read: {failure}") from failure
    except RuntimeError as failure:
        raise CheckpointError(f"{file} does not fit the networks: {failure}") from failure


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
