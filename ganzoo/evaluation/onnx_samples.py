"""Samples of a generator in an ONNX file, such as `ganzoo export` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ganzoo.core.errors import GanzooError, UsageError
from ganzoo.core.files import check_regular

CHUNK = 256


def draw(path: str, count: int, seed: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`count` samples as `ganzoo sample` stores them, by the names of its .npz files, and the names of the classes.

    The first input is noise [N, D], independent normal numbers; an input `labels` [N] alternates through the classes.
    The output is images [N, C, H, W], of 0 to 255 or floats in [-1, 1], or points [N, D]. UsageError if there are other
    inputs or outputs, GanzooError if the file cannot be read.
    """
    try:
        import onnxruntime
    except ImportError:
        raise GanzooError("Evaluating ONNX needs onnxruntime: pip install 'ganzoo-core[onnx]'") from None
    try:
        check_regular(Path(path))
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist.") from None
    except Exception as failure:  # of many types
        raise GanzooError(f"{path} cannot be read: {str(failure).splitlines()[0]}") from failure
    noise, *others = session.get_inputs()
    unknown = [given.name for given in others if given.name != "labels"]
    if unknown or len(noise.shape) != 2 or not isinstance(noise.shape[1], int) or noise.type != "tensor(float)":
        raise UsageError(
            f"{path} takes {', '.join(given.name for given in session.get_inputs())}; only noise [N, D] and labels can "
            "be drawn for it. Evaluate a folder or an .npz file of its samples."
        )
    names = _class_names(session, path) if others else ()
    labels = np.arange(count) % len(names) if others else None
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        feed: dict[str, Any] = {noise.name: rng.standard_normal((size, noise.shape[1]), dtype=np.float32)}
        if labels is not None:
            feed["labels"] = labels[start : start + size]
        try:
            parts.append(session.run(None, feed)[0])
        except Exception as failure:  # of many types
            raise GanzooError(f"{path} cannot be run: {str(failure).splitlines()[0]}") from failure
    return _stored(np.concatenate(parts), labels, path), names


def _class_names(session: Any, path: str) -> tuple[str, ...]:
    try:
        names = json.loads(session.get_modelmeta().custom_metadata_map["dataset"])["class_names"]
        assert names
        return tuple(map(str, names))
    except (KeyError, ValueError, TypeError, AssertionError):
        raise UsageError(
            f"{path} takes labels, but its metadata does not name the classes, as that of ganzoo export does."
        ) from None


def _stored(output: Any, labels: Any, path: str) -> dict[str, Any]:
    """The arrays of an .npz file for what the generator returned."""
    given = {} if labels is None else {"labels": labels}
    if output.ndim == 2 and np.isfinite(output).all():
        return {"points": output, **given}
    if output.ndim != 4 or not np.isfinite(output).all():
        raise UsageError(f"{path} returns {list(output.shape)}: expected images [N, C, H, W] or points [N, D], finite.")
    if output.dtype != np.uint8:
        output = ((output + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    return {"images": output, **given}
