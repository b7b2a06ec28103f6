"""Export to PyTorch's own format, checked by `torch.export.load`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import torch

from ganzoo.exporting.generator import Generator, failures, quiet

FACTS = "ganzoo.json"
"""The name of the extra file with the metadata."""


def convert(generator: Generator, facts: Mapping[str, Any]) -> tuple[bytes, float]:
    """The generator as `torch.export.save` writes it, with `facts`, and how far its outputs are from the GAN's."""
    file = io.BytesIO()
    program = generator.program()
    with failures(), quiet():
        torch.export.save(program, file, extra_files={FACTS: json.dumps(facts, indent=2)})
        file.seek(0)
        loaded = torch.export.load(file).module()
    return file.getvalue(), generator.difference(lambda inputs: loaded(*inputs.values()))
