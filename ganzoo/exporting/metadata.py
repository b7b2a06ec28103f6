"""What an exported file says about itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ganzoo.core.files import sha256
from ganzoo.core.version import __version__
from ganzoo.exporting.generator import Generator
from ganzoo.training.checkpoint import PREFIX
from ganzoo.training.repeat import command, portable_dataset
from ganzoo.training.run import Run


def metadata(run: Run, checkpoint: Path, generator: Generator) -> dict[str, Any]:
    """Where the generator comes from, and what goes in and out, as JSON values."""
    config, step = run.config, int(checkpoint.name.removeprefix(PREFIX))
    return {
        "architecture": config["architecture"],
        "distribution": config["distribution"],
        "settings": config["settings"],
        "dataset": {**config["dataset"], "name": portable_dataset(config["dataset"]["name"])},
        "seed": config["seed"],
        "step": step,
        "command": command(config, step),
        "weights_sha256": sha256(checkpoint / "ema.safetensors"),
        "versions": config.get("versions", {}) | {"exported_by": f"ganzoo {__version__}"},
        "inputs": [dataclasses.asdict(i) for i in generator.inputs],
        "outputs": [dataclasses.asdict(generator.output)],
    }
