"""Files of runs that are edited to do harm."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import ganzoo

Place = tuple[Any, ...]
"""Keys and indices that lead to a value within nested dicts and lists."""
SETTINGS = {"generator_widths": "8", "discriminator_widths": "8", "latent_dim": 2, "batch_size": 16}
REMOVED = object()
"""In place of a new value: the entry is removed."""


def small_run(out: Path, **options: Any) -> Path:
    """A run of four steps with every file that a run can have, but for evaluation.json."""
    options = {"steps": 4, "log_every": 1, "checkpoint_every": 2, "sample_every": 2} | options
    settings = SETTINGS | options.pop("settings", {})
    options = {"evaluate_every": 2, "best_by": "modes"} | options
    options = {"architecture": "vanilla", "dataset": "ring"} | options
    return ganzoo.train(out=out, settings=settings, **options).path


def newest(run: Path, folder: str = "checkpoints") -> Path:
    return max((run / folder).iterdir())


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """The places of all values within `value`, itself included."""
    yield place
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*place, key))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value[:2]):
            yield from places(inner, (*place, index))


def edited(value: Any, place: Place, new: Any) -> Any:
    """A copy of `value` with `new` at `place`, or without that entry if `new` is REMOVED."""
    if not place:
        return {} if new is REMOVED else new
    result = list(value) if isinstance(value, (list, tuple)) else copy.copy(value)
    first, *rest = place
    if rest:
        result[first] = edited(result[first], tuple(rest), new)
    elif new is not REMOVED:
        result[first] = new
    else:
        del result[first]
    return tuple(result) if isinstance(value, tuple) else result


def read_state(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(checkpoint / "state.pt", weights_only=True)
    return state


def write_state(checkpoint: Path, state: Any) -> None:
    """Replace state.pt, with the digest to match."""
    torch.save(state, checkpoint / "state.pt")
    seal(checkpoint)


def read_header(file: Path) -> Any:
    """The header of a safetensors file."""
    content = file.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def write_header(file: Path, header: Any) -> None:
    """Replace the header of a safetensors file of a checkpoint, with the digest to match."""
    content = file.read_bytes()
    new = json.dumps(header).encode()
    file.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + int.from_bytes(content[:8], "little") :])
    seal(file.parent)


def seal(checkpoint: Path) -> None:
    """Make the manifest's sizes and digests those of the files."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        content = (checkpoint / name).read_bytes()
        entry |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
