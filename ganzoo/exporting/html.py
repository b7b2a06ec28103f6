"""Export to a page: the ONNX model, ONNX Runtime Web and controls in one file that loads nothing."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganzoo.core.errors import UsageError
from ganzoo.exporting import onnx, runtime
from ganzoo.exporting.generator import Generator

PAGE = Path(__file__).parent / "page.html"
BANK = 512
"""Noise vectors in the page: whatever the architecture draws its noise from, the page has it."""


def convert(generator: Generator, facts: Mapping[str, Any], name: str, folder: Any = None) -> tuple[bytes, float]:
    """The page, and how far the outputs of its model are from the GAN's, in ONNX Runtime."""
    if any(i.name == "inputs" for i in generator.inputs):
        raise UsageError("A page draws from noise, and this generator needs input images. Export to onnx or pt2.")
    if generator.spec.kind not in ("images", "points") or len(generator.inputs) - len(generator.settings) > 2:
        raise UsageError("A page draws images and points, of at most one condition. Export to onnx or pt2.")
    script, binary = runtime.files(folder)
    model, difference = onnx.convert(generator, facts)
    bank = generator.example(BANK)
    classes = generator.original[0].classes
    content = {
        "name": name,
        "kind": generator.spec.kind,
        "shape": list(generator.spec.shape),
        "scale": generator.spec.scale,
        "classes": facts["dataset"]["class_names"] or [str(number) for number in range(classes)],
        "condition": next((i.name for i in generator.inputs if i.name in ("labels", "codes")), None),
        "codes": _numbers(bank["codes"]) if "codes" in bank else None,
        "settings": generator.settings,
        "bank": _numbers(bank["z"]),
        "facts": {key: facts[key] for key in ("architecture", "step", "seed", "command", "weights_sha256")}
        | {"data": facts["dataset"]["name"], "data_sha256": facts["dataset"].get("sha256", "unknown")},
    }
    parts = {
        "content": _escape(json.dumps(content)),
        "model": _packed(model),
        "script": _packed(script),
        "binary": _packed(binary),
    }
    page = PAGE.read_text(encoding="utf-8")
    for key, text in parts.items():
        page = page.replace(f"{{{{{key}}}}}", text, 1)
    return page.encode(), difference


def _numbers(values: Tensor) -> dict[str, Any]:
    """Float32 values [N, ...] for the page."""
    return {
        "size": values.shape[1:].numel(),
        "shape": list(values.shape[1:]),
        "data": _base64(values.numpy().tobytes()),
    }


def _packed(content: bytes) -> str:
    return _base64(gzip.compress(content, 9, mtime=0))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _escape(text: str) -> str:
    """Text that is harmless in HTML and, as JSON, in a script element."""
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
